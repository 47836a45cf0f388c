"""What the changelog amounts to does not depend on how many of its records were read at once."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from flags.changelog import Fold
from schemas.events import FlagChange, Prerequisite

GARBAGE = b"garbage"

Log = list[tuple[str, bytes | None]]


def record(name: str, revision: int, *needs: str) -> bytes:
    change = FlagChange(
        name=name,
        enabled=True,
        revision=revision,
        changed_by="test",
        changed_at="now",
        prerequisites=tuple(Prerequisite(flag=flag) for flag in needs),
    )
    return msgspec.json.encode(change)


LOGS: dict[str, tuple[Log, set[str]]] = {
    "a bad record after a good one": ([("caching", record("caching", 1)), ("caching", GARBAGE)], {"caching"}),
    "a good record after a bad one": ([("caching", GARBAGE), ("caching", record("caching", 1))], set()),
    "a cycle after a good record": (
        [
            ("caching", record("caching", 1, "quality_mode")),
            ("quality_mode", record("quality_mode", 2)),
            ("quality_mode", record("quality_mode", 3, "caching")),
        ],
        {"quality_mode"},
    ),
    "a bad record between one that needs another and that other": (
        [("top", record("top", 1, "base")), ("top", GARBAGE), ("base", record("base", 2))],
        {"top"},
    ),
    "a stray that was taken away": ([("../top", GARBAGE), ("top", GARBAGE), ("../top", None)], {"top"}),
}


def folded(log: Log, advances: tuple[bool, ...]) -> Fold:
    fold = Fold()
    for offset, ((key, value), advance) in enumerate(zip(log, advances, strict=True)):
        fold.apply(key.encode(), value, offset)
        if advance:
            fold.advance()
    fold.settle()
    return fold


@pytest.mark.parametrize(("log", "damaged"), LOGS.values(), ids=LOGS.keys())
def test_every_way_of_reading_a_log_amounts_to_the_same(log: Log, damaged: set[str]) -> None:
    ways = [folded(log, advances) for advances in itertools.product((True, False), repeat=len(log))]
    assert len({fold.digest for fold in ways}) == 1
    for fold in ways:
        assert (set(fold.damaged), set(fold.strays)) == (damaged, set())


def test_a_key_that_names_no_flag_is_a_stray_until_it_has_no_value() -> None:
    fold = Fold()
    refusal = fold.apply(b"../caching", GARBAGE, 0)
    assert refusal is not None
    assert (refusal.code, set(fold.strays), set(fold.damaged)) == ("invalid_key", {b"../caching"}, set())
    assert fold.apply(b"../caching", None, 1) is None
    assert not fold.strays


@pytest.mark.parametrize(
    ("read_to", "damaged"), [(None, set()), (2, set()), (1, {"caching"}), (0, {"caching"}), (99, set())]
)
def test_a_good_record_mends_what_its_writer_had_read(read_to: int | None, damaged: set[str]) -> None:
    fold = Fold()
    fold.apply(b"caching", GARBAGE, 0)
    fold.apply(b"caching", GARBAGE, 1)
    assert fold.apply(b"caching", record("caching", 1), 2, read_to=read_to) is None
    fold.settle()
    assert set(fold.damaged) == damaged
    assert fold.changes["caching"].enabled


@pytest.mark.parametrize(("read_to", "strays"), [(None, set()), (1, set()), (0, {b"../caching"})])
def test_a_stray_is_taken_away_by_who_has_read_it(read_to: int | None, strays: set[bytes]) -> None:
    fold = Fold()
    fold.apply(b"../caching", GARBAGE, 0)
    assert fold.apply(b"../caching", None, 1, read_to=read_to) is None
    assert set(fold.strays) == strays
