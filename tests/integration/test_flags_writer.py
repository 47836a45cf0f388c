"""Writers take turns by fencing: revisions have no gaps, what lost is nowhere, and a change based on old news fails."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException, Producer

from flags.changelog import Fold, read_change
from flags.clients import writer_config
from flags.edits import Edit
from flags.errors import InvalidFlagError, PreconditionFailedError
from schemas.errors import UnavailableError, UnknownFlagError
from tests.kit.flags import FlagTopics, Seen, turn
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flags.evaluation import Snapshot
    from infra.embedded.server import EmbeddedServer

FLIPS = 200
WRITERS, CHANGES = 4, 250


@pytest.fixture
def topics(kafka: EmbeddedServer, tmp_path: Path) -> Iterator[FlagTopics]:
    with FlagTopics(kafka.endpoint, tmp_path) as topics:
        yield topics


def report(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")


def revisions(topics: FlagTopics, topic: str) -> list[int]:
    return [read_change((record.key or b"").decode(), record.value).revision for record in topics.records(topic)]


def test_a_change_stands_in_the_changelog_and_in_the_audit(topics: FlagTopics) -> None:
    written = topics.writer().write(turn("quality_mode", on=True, rollout_percentage=12.5))
    assert (written.revision, written.enabled, written.rollout_percentage) == (1, True, 12.5)
    for topic in (topics.changelog, topics.audit):
        (record,) = topics.records(topic)
        assert read_change("quality_mode", record.value) == written


def test_fields_that_are_not_named_stay(topics: FlagTopics) -> None:
    writer = topics.writer()
    writer.write(turn("quality_mode", on=True, rollout_percentage=12.5))
    assert writer.write(Edit(name="quality_mode", fields={"killed": True}, changed_by="ada")).rollout_percentage == 12.5


def test_a_change_based_on_an_older_revision_is_refused(topics: FlagTopics) -> None:
    one, other = topics.writer(), topics.writer()
    first = one.write(turn("caching", on=False))
    other.write(turn("caching", on=True))
    with pytest.raises(PreconditionFailedError, match="at revision 2, and that is not what"):
        one.write(
            Edit(name="caching", fields={"enabled": False}, changed_by="ada", expected_revisions={first.revision})
        )
    assert revisions(topics, topics.changelog) == [1, 2]


def test_another_flags_change_is_no_conflict(topics: FlagTopics) -> None:
    writer = topics.writer()
    first = writer.write(turn("caching", on=False))
    writer.write(turn("quality_mode", on=True))
    again = Edit(name="caching", fields={"enabled": True}, changed_by="ada", expected_revisions={first.revision})
    assert writer.write(again).revision == 3


def test_what_is_invalid_is_refused_with_every_reason_and_never_written(topics: FlagTopics) -> None:
    rule = {"conditions": [{"attribute": "plan", "operator": "rhymes_with", "values": ["gold"]}]}
    fields = {"rollout_percentage": 0.00001, "rules": [rule], "colour": "red", "enabled": "perhaps"}
    with pytest.raises(InvalidFlagError) as refused:
        topics.writer().write(Edit(name="caching", fields=fields, changed_by="ada"))
    said = "\n".join(refused.value.faults)
    for fault in ("steps of 0.001", "no operator 'rhymes_with'", "no field 'colour'", "enabled: Expected `bool`"):
        assert fault in said
    assert topics.records() == []


def test_an_unknown_flag_is_made_only_by_who_says_so(topics: FlagTopics) -> None:
    writer = topics.writer()
    with pytest.raises(UnknownFlagError):
        writer.write(turn("new_colours", on=True))
    made = Edit(name="new_colours", fields={"enabled": True}, create=True, changed_by="ada")
    assert writer.write(made).revision == 1


def test_writers_that_compete_lose_nothing_and_leave_no_gap(topics: FlagTopics) -> None:
    followers = [topics.follower(name=f"follower-{number}") for number in range(4)]
    writers = [topics.writer() for _ in range(WRITERS)]
    names = ["caching", "quality_mode", "ab_testing"]

    def work(number: int) -> list[int]:
        return [
            writers[number].write(turn(names[change % 3], on=bool(change % 2), salt=f"{number}/{change}")).revision
            for change in range(CHANGES)
        ]

    begun = time.monotonic()
    with ThreadPoolExecutor(WRITERS) as pool:
        promised = [revision for those in pool.map(work, range(WRITERS)) for revision in those]
    seconds = time.monotonic() - begun
    report(f"{WRITERS} writers: {WRITERS * CHANGES} changes in {seconds:.1f} s")

    assert sorted(promised) == list(range(1, WRITERS * CHANGES + 1))
    assert revisions(topics, topics.audit) == list(range(1, WRITERS * CHANGES + 1))
    fold = Fold()
    for record in topics.records():
        assert fold.apply(record.key, record.value, record.offset) is None
    assert fold.settle() == []
    for follower in followers:
        wait_until(lambda: follower.snapshot.revision == fold.revision, "it has read everything")  # noqa: B023 - waited for here
        assert follower.snapshot.digest == fold.digest


def test_what_a_writer_left_open_is_taken_back_by_the_next(topics: FlagTopics) -> None:
    follower, first = topics.follower(), topics.writer()
    first.write(turn("caching", on=False))
    frozen = Producer(writer_config(topics.client, topics.group))
    frozen.init_transactions(20)
    frozen.begin_transaction()
    frozen.produce(topics.changelog, b"half a change", b"caching", 0)
    assert frozen.flush(20) == 0
    written = topics.writer().write(turn("caching", on=True))
    assert written.revision == 2
    with pytest.raises(KafkaException):  # it wakes up, and what it still sends is refused
        frozen.commit_transaction(20)
    wait_until(lambda: follower.snapshot.revision == 2, "the change is applied")
    assert not follower.damaged
    assert b"half a change" not in {record.value for record in topics.records()}


def test_a_writer_can_be_closed_while_the_broker_is_away(topics: FlagTopics) -> None:
    topics.client["bootstrap.servers"] = "127.0.0.1:1"
    writer, ended = topics.writer(), threading.Event()

    def write() -> None:
        with pytest.raises(UnavailableError):
            writer.write(turn("caching", on=False))
        ended.set()

    threading.Thread(target=write, daemon=True).start()
    begun = time.monotonic()
    writer.close(seconds=0.5)
    assert time.monotonic() - begun < 10
    assert ended.wait(30)


class Stopwatch(Seen):
    """Notes when each revision was applied."""

    def __init__(self) -> None:
        super().__init__()
        self.applied_at: dict[int, float] = {}
        self.news = threading.Condition()

    def applied(self, snapshot: Snapshot) -> None:
        with self.news:
            self.applied_at[snapshot.revision] = time.perf_counter()
            self.news.notify_all()


def test_every_change_reaches_every_follower(topics: FlagTopics) -> None:
    watches = [Stopwatch() for _ in range(4)]
    for number, watch in enumerate(watches):
        topics.follower(name=f"follower-{number}", seen=watch)
    writer = topics.writer()
    writer.write(turn("caching", on=True))
    seconds = []
    for flip in range(FLIPS):
        begun = time.perf_counter()
        revision = writer.write(turn("caching", on=bool(flip % 2))).revision
        for watch in watches:
            with watch.news:
                assert watch.news.wait_for(lambda: revision in watch.applied_at, 20)  # noqa: B023 - waited for here
            last = max(each.applied_at.get(revision, begun) for each in watches)
        seconds.append(last - begun)
    centiles = statistics.quantiles(seconds, n=100)
    report(
        f"write to applied in 4 followers over {FLIPS} flips: median {centiles[49] * 1000:.1f} ms, "
        f"p99 {centiles[98] * 1000:.1f} ms, max {max(seconds) * 1000:.1f} ms"
    )
