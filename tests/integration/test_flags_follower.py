"""Followers serve what the log amounts to, whatever happens to the log, the broker or their own start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from flags.changelog import Fold, read_change
from flags.compiling import Origin
from flags.edits import Edit
from flags.evaluation import Context
from flags.restorer import Restorer
from schemas.events import FlagChange, Prerequisite
from tests.kit.brokers import running_broker
from tests.kit.flags import FlagTopics, Seen, turn
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer

COMPACTED_AT_ONCE = {
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.0",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "0",
}
NOBODY = Context()


@pytest.fixture
def topics(kafka: EmbeddedServer, tmp_path: Path) -> Iterator[FlagTopics]:
    with FlagTopics(kafka.endpoint, tmp_path) as topics:
        yield topics


def change(name: str, revision: int, **fields: object) -> bytes:
    by_hand: dict[str, object] = {
        "name": name,
        "enabled": True,
        "revision": revision,
        "changed_by": "hand",
        "changed_at": "now",
    }
    return msgspec.json.encode(by_hand | fields)


def test_a_change_is_applied_with_its_revision_and_reason(topics: FlagTopics) -> None:
    follower = topics.follower()
    assert follower.snapshot.evaluate("caching", NOBODY).origin is Origin.DEFAULT
    topics.writer().write(turn("caching", on=False))
    wait_until(lambda: follower.snapshot.revision == 1, "the change is applied")
    answer = follower.snapshot.evaluate("caching", NOBODY)
    assert (answer.value, answer.version, answer.origin) == (False, 1, Origin.CHANGELOG)


def test_age_and_lag_say_that_nothing_is_missing(topics: FlagTopics) -> None:
    follower = topics.follower()
    topics.writer().write(turn("caching", on=False))
    wait_until(lambda: follower.snapshot.revision == 1 and follower.lag == 0, "it knows that it has everything")
    wait_until(lambda: follower.age_seconds < 0.5, "it keeps knowing")


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (b"caching", b"\xff\x00 no json", "invalid_schema"),
        (b"caching", b'{"name": "caching"}', "invalid_schema"),
        (b"caching", None, "null_value"),
        (b"caching", change("quality_mode", 50), "wrong_key"),
        (b"caching", change("caching", 1), "stale_revision"),
        (b"caching", change("caching", 50, rollout_percentage=0.00001), "invalid_change"),
        (b"caching", change("caching", 50, prerequisites=[{"flag": "caching"}]), "invalid_beside_others"),
        (b"../caching", change("caching", 50), "invalid_key"),
    ],
)
def test_a_bad_record_written_by_hand_is_reported_and_changes_nothing(
    topics: FlagTopics, key: bytes, value: bytes | None, code: str
) -> None:
    topics.writer().write(turn("caching", on=False))
    seen = Seen()
    follower = topics.follower(seen=seen)
    before = follower.snapshot.changes
    topics.write_by_hand(key, value)
    wait_until(lambda: bool(seen.records), "the record is reported")
    (record,) = seen.records
    assert (record.refusal.code, record.key, record.value, record.old) == (code, key, value, False)
    assert record.headers == (("who", b"a vandal"),)
    assert follower.snapshot.changes == before
    assert follower.damaged == ({"caching"} if key == b"caching" else frozenset())


def test_a_cycle_of_prerequisites_written_by_hand_is_not_taken_over(topics: FlagTopics) -> None:
    writer, seen = topics.writer(), Seen()
    follower = topics.follower(seen=seen)
    needs_quality = [{"flag": "quality_mode"}]
    writer.write(turn("caching", on=True, prerequisites=needs_quality))
    topics.write_by_hand(b"quality_mode", change("quality_mode", 2, prerequisites=[{"flag": "caching"}]))
    wait_until(lambda: bool(seen.records), "the record is reported")
    assert "quality_mode needs caching needs quality_mode" in str(seen.records[0].refusal.faults)
    assert follower.snapshot.changes["caching"].prerequisites == (Prerequisite(flag="quality_mode"),)
    assert "quality_mode" not in follower.snapshot.changes


def test_the_last_good_state_is_put_back_once_however_many_notice(topics: FlagTopics) -> None:
    writers = [topics.writer() for _ in range(3)]
    writers[0].write(turn("caching", on=False))
    topics.write_by_hand(b"caching", b"garbage")
    restored = [writer.restore("caching") for writer in writers]
    assert [each is not None for each in restored] == [True, False, False]
    assert restored[0] is not None
    assert (restored[0].revision, restored[0].enabled) == (2, False)


def test_a_worker_that_notices_puts_the_state_back_by_itself(topics: FlagTopics) -> None:
    seen, writer = Seen(), topics.writer()
    writer.write(turn("caching", on=False))
    follower = topics.follower(seen=seen)
    restorer = Restorer(
        damaged=lambda: follower.damaged,
        restore=writer.restore,
        strays=lambda: follower.strays,
        bury_strays=writer.bury_strays,
        longest_wait_seconds=0.1,
    )
    restorer.start()
    topics.write_by_hand(b"caching", b"garbage")
    wait_until(lambda: bool(seen.records), "the record is reported")
    restorer.notice()
    wait_until(lambda: follower.snapshot.revision == 2, "the state is put back")
    assert not follower.damaged
    restorer.stop()


def test_compaction_that_left_only_a_bad_record_costs_no_state(kafka: EmbeddedServer, tmp_path: Path) -> None:
    with FlagTopics(kafka.endpoint, tmp_path, changelog_config=COMPACTED_AT_ONCE) as topics:
        writer = topics.writer()
        writer.write(turn("caching", on=False, rollout_percentage=12.5))
        topics.write_by_hand(b"caching", b"garbage")

        def only_garbage_is_left() -> bool:
            writer.write(turn("quality_mode", on=True))  # rolls the segment, so that what is before it is cleaned
            return [record.value for record in topics.records() if record.key == b"caching"] == [b"garbage"]

        wait_until(only_garbage_is_left, "the good record is compacted away", seconds=120)
        onlooker = topics.writer()
        restored = onlooker.restore("caching")
        assert restored is not None
        assert (restored.enabled, restored.rollout_percentage) == (False, 12.5)

        def garbage_is_gone() -> bool:
            writer.write(turn("quality_mode", on=True))
            return b"garbage" not in {record.value for record in topics.records()}

        wait_until(garbage_is_gone, "the bad record is compacted away", seconds=120)
        follower = topics.follower()
        assert follower.snapshot.changes["caching"] == restored
        assert not follower.damaged


def test_flags_are_followed_across_a_stop_and_start_of_the_broker(tmp_path: Path) -> None:
    with running_broker(tmp_path / "broker") as broker, FlagTopics(broker.endpoint, tmp_path) as topics:
        follower, writer = topics.follower(), topics.writer()
        writer.write(turn("caching", on=False))
        wait_until(lambda: follower.snapshot.revision == 1, "the change is applied")
        broker.stop()
        wait_until(lambda: follower.age_seconds > 1, "it knows that it may be missing something")
        assert not follower.snapshot.enabled("caching")
        broker.start()
        writer.write(turn("caching", on=True))
        wait_until(lambda: follower.snapshot.revision == 2, "the change after the outage is applied")
        wait_until(lambda: follower.age_seconds < 1, "it knows that it is current")
        assert follower.snapshot.enabled("caching")


def test_a_frozen_broker_vouches_for_nothing(tmp_path: Path) -> None:
    with running_broker(tmp_path / "broker") as broker, FlagTopics(broker.endpoint, tmp_path) as topics:
        follower = topics.follower()
        wait_until(lambda: follower.age_seconds < 1, "it knows that it is current")
        broker.suspend()
        try:
            wait_until(lambda: follower.age_seconds > 4, "it knows that it may be missing something")
            assert not follower.wait_until_current(2)
        finally:
            broker.resume()
        wait_until(lambda: follower.wait_until_current(1), "it is told again that it is current")


@pytest.mark.parametrize("flips", [1, 20], ids=["shorter than before", "longer than before"])
def test_a_topic_made_anew_is_followed_from_its_beginning(topics: FlagTopics, flips: int) -> None:
    follower, writer = topics.follower(), topics.writer()
    for flip in range(5):
        writer.write(turn("caching", on=bool(flip % 2)))
    wait_until(lambda: follower.snapshot.revision == 5, "the changes are applied")
    topics.delete_changelog()
    topics.create()
    after = [topics.writer().write(turn("quality_mode", on=bool(flip % 2))) for flip in range(flips)]
    assert after[0].revision == 6  # the audit remembers how far they had come
    wait_until(lambda: dict(follower.snapshot.changes) == {"quality_mode": after[-1]}, "only the new log counts")


def test_a_worker_starts_with_the_flags_it_had_though_the_broker_is_away(topics: FlagTopics) -> None:
    first = topics.follower()
    topics.writer().write(turn("caching", on=False))
    wait_until(lambda: first.snapshot.revision == 1, "the change is applied")
    first.stop()
    topics.client["bootstrap.servers"] = "127.0.0.1:1"
    second = topics.new_follower()
    answer = second.snapshot.evaluate("caching", NOBODY)
    assert (answer.value, answer.version, answer.origin) == (False, 1, Origin.SNAPSHOT)
    assert not second.caught_up


class Guarded(Seen):
    """Counts what it was guarded from."""

    def __init__(self) -> None:
        super().__init__()
        self.guards: list[str] = []

    def unexpected(self, guard: str) -> None:
        self.guards.append(guard)


def test_flags_that_cannot_be_kept_on_disk_decide_and_are_kept_once_they_can(
    topics: FlagTopics, tmp_path: Path
) -> None:
    seen, in_the_way = Guarded(), tmp_path / "folder"
    in_the_way.write_text("no folder")
    follower = topics.follower(name="folder/flags", seen=seen)
    topics.writer().write(turn("caching", on=False))
    wait_until(lambda: follower.unsaved is not None, "it says that it cannot keep them")
    assert follower.snapshot.evaluate("caching", NOBODY).value is False
    in_the_way.unlink()
    wait_until(lambda: follower.unsaved is None, "it keeps them")
    assert "caching" in (in_the_way / "flags.json").read_text()
    assert set(seen.guards) == {"flags_save"}


def test_a_flag_may_stand_before_one_that_it_needs(topics: FlagTopics) -> None:
    writer = topics.writer()
    writer.write(Edit(name="base", fields={"enabled": True}, create=True, changed_by="ada"))
    writer.write(Edit(name="top", fields={"prerequisites": [{"flag": "base"}]}, create=True, changed_by="ada"))
    writer.write(turn("base", on=False))
    fold = Fold()
    for record in topics.records()[1:]:  # as compaction leaves them
        assert fold.apply(record.key, record.value, record.offset) is None
        fold.advance()
    assert fold.settle() == []
    assert set(fold.changes) == {"base", "top"}


def test_what_a_newer_release_wrote_is_read(topics: FlagTopics) -> None:
    follower = topics.follower()
    topics.write_by_hand(b"caching", change("caching", 1, a_field_of_tomorrow=[1, 2]))
    wait_until(lambda: follower.snapshot.revision == 1, "the change is applied")
    assert isinstance(read_change("caching", change("caching", 1, a_field_of_tomorrow=1)), FlagChange)
