"""The releases' log, folded: what serves, what there is, and records that are neither."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.events import ModelRelease, Trial
from streams.release_log import InvalidReleaseRecordError, ReleaseLog, UnknownReleaseError, key_of


def record(release: str, revision: int, *, serving: bool = False) -> ModelRelease:
    return ModelRelease(
        name="distilbert",
        release=release,
        location="memory://store",
        sha256=release * 64,
        released_at="2026-11-23T09:00:00Z",
        state="serving" if serving else "candidate",
        revision=revision,
    )


def folded(*records: ModelRelease) -> ReleaseLog:
    log = ReleaseLog()
    for each in records:
        log.apply(key_of(each), msgspec.json.encode(each))
    return log


def test_what_was_pushed_stays_known_when_another_serves() -> None:
    log = folded(record("a", 1), record("a", 2, serving=True), record("b", 3), record("b", 4, serving=True))
    assert log.serving["distilbert"].release == "b"
    assert [each.release for each in log.pushed("distilbert")] == ["a", "b"]
    assert log.find("distilbert", "a").revision == 1
    assert log.revision == 4


def test_a_release_that_nobody_pushed_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(UnknownReleaseError, match="there are: a"):
        folded(record("a", 1)).find("distilbert", "b")
    with pytest.raises(UnknownReleaseError, match="there are: none"):
        folded(record("a", 1)).find("catalogue", "a")


def test_a_record_that_was_taken_away_is_gone() -> None:
    log = folded(record("a", 1), record("a", 2, serving=True))
    log.apply(b"distilbert", None)
    log.apply(b"distilbert/a", None)
    assert (dict(log.serving), log.pushed()) == ({}, [])


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b"[" * 50_000])
def test_what_is_no_release_changes_nothing(value: bytes) -> None:
    log = folded(record("a", 1, serving=True))
    with pytest.raises(InvalidReleaseRecordError, match="no release"):
        log.apply(b"distilbert", value)
    assert log.serving["distilbert"].release == "a"


def test_a_record_under_anothers_key_changes_nothing() -> None:
    log = ReleaseLog()
    with pytest.raises(InvalidReleaseRecordError, match="another release's"):
        log.apply(b"distilbert/b", msgspec.json.encode(record("a", 1)))
    assert log.pushed() == []


def tried(release: str, revision: int, stage: Any, began: int = 0) -> ModelRelease:
    trial = Trial(stage=stage, began_at="2026-11-30T09:00:00Z", began_revision=began)
    return msgspec.structs.replace(record(release, revision), trial=trial)


def test_what_is_tried_is_known_until_it_is_withdrawn_or_serves() -> None:
    log = folded(record("a", 1), record("a", 2, serving=True), tried("b", 3, "shadow"))
    assert log.trial is not None
    assert log.trial.release == "b"
    assert folded(tried("b", 3, "shadow"), tried("b", 4, "rollout", 3)).trial == tried("b", 4, "rollout", 3)
    assert folded(tried("b", 3, "shadow"), tried("b", 4, "withdrawn", 3)).trial is None
    promoted = folded(tried("b", 3, "shadow"), record("b", 4, serving=True))
    assert (promoted.trial, promoted.overtaken_trial) == (None, None)


def test_whatever_else_comes_to_serve_overtakes_what_is_tried_until_that_is_noted() -> None:
    log = folded(tried("b", 3, "shadow"), tried("b", 4, "rollout", 3), record("c", 5, serving=True))
    assert (log.trial, log.overtaken_trial) == (None, tried("b", 4, "rollout", 3))
    log.apply(b"distilbert/b", msgspec.json.encode(tried("b", 6, "withdrawn", 3)))
    assert (log.trial, log.overtaken_trial) == (None, None)
