"""What does not count on the changelog goes to the dead letters, once, whoever notices and however often."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, Producer

from flags.clients import reader_config
from flags.log_reader import LogReader
from flags.restorer import Restorer
from schemas.deadletter import parse_dead_letter
from schemas.errors import UnavailableError
from schemas.events import Source
from schemas.record_headers import headers_of
from tests.kit.flags import FlagTopics, Seen, turn
from tests.kit.hostile import publish_with_unreadable_header_name
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flags.follower import Follower
    from infra.embedded.server import EmbeddedServer
    from schemas.events import DeadLetter


@pytest.fixture
def topics(kafka: EmbeddedServer, tmp_path: Path) -> Iterator[FlagTopics]:
    with FlagTopics(kafka.endpoint, tmp_path) as topics:
        yield topics


class Worker:
    """What of a worker has to do with flags."""

    def __init__(self, topics: FlagTopics, name: str) -> None:
        self.seen = Seen()
        self.writer = topics.writer(name)
        self.follower: Follower = topics.new_follower(name=name, seen=self.seen)
        self.restorer = Restorer(
            damaged=lambda: self.follower.damaged,
            restore=self.writer.restore,
            strays=lambda: self.follower.strays,
            bury_strays=self.writer.bury_strays,
            longest_wait_seconds=0.1,
        )

    def codes(self) -> list[str]:
        return [record.refusal.code for record in self.seen.records]

    def well(self) -> bool:
        return not self.follower.damaged and not self.follower.strays and self.follower.lag == 0


@contextmanager
def running(topics: FlagTopics, *names: str) -> Iterator[list[Worker]]:
    """Run some workers; each restores when its follower has something refused."""
    with ExitStack() as stack:
        workers = [Worker(topics, name) for name in names]
        for worker in workers:
            refuse = worker.seen.refused
            worker.seen.refused = lambda record, worker=worker, refuse=refuse: (  # type: ignore[method-assign, assignment, misc]
                refuse(record),
                worker.restorer.notice(),
            )
            stack.callback(worker.follower.stop)
            stack.callback(worker.restorer.stop)
            worker.restorer.start()
            worker.follower.start()
            assert worker.follower.wait_until_caught_up(20)
        yield workers


def letters(topics: FlagTopics) -> list[DeadLetter]:
    topics.records(topics.dead_letters)  # once no transaction is under way
    consumer = Consumer(reader_config(topics.client))
    try:
        reader = LogReader(consumer, topics.dead_letters)
        return [
            parse_dead_letter(
                Source(topic=topics.dead_letters, partition=0, offset=record.offset() or 0),
                record.key(),
                record.value(),
                headers_of(record),
            )
            for record in reader.messages(*reader.bounds())
        ]
    finally:
        consumer.close()


def test_of_three_workers_that_notice_a_bad_record_one_buries_it(topics: FlagTopics) -> None:
    topics.writer().write(turn("caching", on=False))
    with running(topics, "a", "b", "c") as workers:
        topics.write_by_hand(b"caching", b"\xff\x00 garbage")
        wait_until(lambda: all(worker.follower.snapshot.revision == 2 for worker in workers), "the state is put back")
        wait_until(lambda: all(worker.well() for worker in workers), "all are well")
        assert [worker.codes() for worker in workers] == [["invalid_schema"]] * 3
        assert not any(worker.follower.snapshot.enabled("caching") for worker in workers)
    (letter,) = letters(topics)
    assert (letter.key, letter.value, letter.headers) == (b"caching", b"\xff\x00 garbage", (("who", b"a vandal"),))
    assert letter.code == "invalid_schema"
    assert letter.source is not None
    assert (letter.source.topic, letter.source.partition) == (topics.changelog, 0)
    assert len(topics.buried) == 1


def test_no_restart_buries_it_again(topics: FlagTopics) -> None:
    topics.writer().write(turn("caching", on=False))
    topics.write_by_hand(b"caching", b"garbage")
    topics.write_by_hand(b"../caching", b"garbage")
    for life in range(3):
        with running(topics, f"a{life}", f"b{life}") as workers:
            both = [["invalid_key", "invalid_schema"]] * 2
            wait_until(lambda: [sorted(worker.codes()) for worker in workers] == both, "both notice both")  # noqa: B023 - waited for here
            wait_until(lambda: all(worker.well() for worker in workers), "all are well")
            workers[0].writer.write(turn("caching", on=True))
    assert sorted(letter.code for letter in letters(topics)) == ["invalid_key", "invalid_schema"]


def test_each_of_several_bad_records_is_buried(topics: FlagTopics) -> None:
    with running(topics, "a", "b") as workers:
        for number in range(5):
            topics.write_by_hand(b"caching", b"garbage %d" % number)
            topics.write_by_hand(b"quality_mode", b"garbage %d" % number)
        wait_until(lambda: all(len(worker.seen.records) == 10 for worker in workers), "all are noticed")
        wait_until(lambda: all(worker.well() for worker in workers), "all are well")
    values = sorted((letter.key, letter.value) for letter in letters(topics))
    assert values == [(key, b"garbage %d" % number) for key in (b"caching", b"quality_mode") for number in range(5)]


@pytest.mark.parametrize(("key", "mend"), [(b"caching", "restore"), (b"../caching", "bury_strays")])
def test_a_bad_record_that_came_while_another_was_being_mended_is_buried(
    topics: FlagTopics, key: bytes, mend: str
) -> None:
    class Overtaken(Producer):
        def begin_transaction(self) -> None:
            topics.write_by_hand(key, b"after what was read")
            super().begin_transaction()

    topics.write_by_hand(key, b"read")
    getattr(topics.writer(producer=Overtaken), mend)(*([key.decode()] if mend == "restore" else []))
    assert [letter.value for letter in letters(topics)] == [b"read"]
    with running(topics, "a", "b") as workers:
        wait_until(lambda: all(worker.well() for worker in workers), "all are well")
    assert [letter.value for letter in letters(topics)] == [b"read", b"after what was read"]


def test_who_wrote_after_a_record_by_hand_counts_on_from_what_it_wrote_be_its_marker_there_or_not(
    topics: FlagTopics,
) -> None:
    behind: list[tuple[int, int]] = []

    class Overtaken(Producer):
        def begin_transaction(self) -> None:
            topics.write_by_hand(b"quality_mode", b"garbage")
            super().begin_transaction()

    class Late(Consumer):
        """Is told for a while where the log ended before our last transaction's marker was there."""

        def get_watermark_offsets(self, *place: Any, **options: Any) -> Any:
            return behind.pop() if behind else super().get_watermark_offsets(*place, **options)

    topics.write_by_hand(b"caching", b"garbage")
    writer = topics.writer(producer=Overtaken, consumer=Late)
    first = writer.restore("caching")
    assert first is not None
    behind += 3 * [(0, 2)]  # both that were written by hand
    second = writer.restore("quality_mode")
    assert second is not None
    assert second.revision == first.revision + 1


def test_a_change_by_anyone_buries_what_it_takes_the_place_of(topics: FlagTopics) -> None:
    topics.write_by_hand(b"caching", b"garbage")
    topics.writer().write(turn("quality_mode", on=True))
    assert letters(topics) == []
    topics.writer().write(turn("caching", on=False))
    assert [letter.value for letter in letters(topics)] == [b"garbage"]
    assert topics.writer().restore("caching") is None


def test_a_record_that_makes_no_sense_beside_the_others_is_buried_with_those_before_it(topics: FlagTopics) -> None:
    writer = topics.writer()
    writer.write(turn("caching", on=True, prerequisites=[{"flag": "quality_mode"}]))
    cycle = (
        b'{"name": "quality_mode", "enabled": true, "revision": 2, "changed_by": "hand", "changed_at": "now", '
        b'"prerequisites": [{"flag": "caching"}]}'
    )
    topics.write_by_hand(b"quality_mode", b"garbage")
    topics.write_by_hand(b"quality_mode", cycle)
    with running(topics, "a") as (worker,):
        wait_until(worker.well, "it is well")
    assert [(letter.code, letter.value) for letter in letters(topics)] == [
        ("invalid_schema", b"garbage"),
        ("invalid_beside_others", cycle),
    ]


def test_a_record_whose_headers_cannot_be_read_stops_nobody(
    topics: FlagTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(50):  # so that the interpreter has specialised what reads headers
        topics.write_by_hand(b"quality_mode", b"garbage")
    with running(topics, "a") as (worker,):
        wait_until(worker.well, "it is well")
        worker.seen.records.clear()
        broker = topics.client["bootstrap.servers"]
        asyncio.run(
            publish_with_unreadable_header_name(
                broker, monkeypatch, topic=topics.changelog, key=b"caching", value=b"garbage"
            )
        )
        wait_until(lambda: worker.codes() == ["invalid_schema"], "it is noticed")
        wait_until(worker.well, "it is well")
        worker.writer.write(turn("caching", on=False))
        wait_until(lambda: not worker.follower.snapshot.enabled("caching"), "it still follows")
    assert [(letter.value, letter.headers) for letter in letters(topics)][50:] == [(b"garbage", ())]


def test_a_restore_and_its_dead_letter_are_there_together_or_not_at_all(topics: FlagTopics) -> None:
    topics.writer().write(turn("caching", on=False))
    topics.write_by_hand(b"caching", b"garbage")
    topics.dead_letters = "there-is-no-such-topic"
    writer = topics.writer()
    writer.close()  # so that it tries once
    with pytest.raises(UnavailableError, match="caching"):
        writer.restore("caching")
    assert len(topics.records()) == 2
