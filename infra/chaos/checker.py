"""Reads all topics, the table of results and the workers' flags, as any onlooker may, and says what does not hold."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from infra.chaos.books import Books, event_digest
from schemas.errors import UnavailableError
from streams.topics import DEAD_LETTERS, FLAGS, FLAGS_AUDIT, RESULTS, UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from confluent_kafka import Message

    from infra.chaos.worker import MortalWorker

_FETCH_SECONDS = 0.2
_ANSWER_SECONDS = 20.0
_SILENCE_SECONDS = 60.0
_POLL_SECONDS = 0.5

_quiet = logging.getLogger("intentstream.chaos.librdkafka")

FlagStates = dict[str, tuple[int, bool, float]]
"""Revision, whether it is on, and for how many percent; by name."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What the checker found: counts. All but the first four are 0 where every promise was kept.

    Attributes:
        events: Utterances on the topic.
        results: Under read_committed.
        dead_letters: Likewise.
        aborted: Results on the topic that belong to aborted transactions, and that a read_committed reader never sees.
        lost: Utterances that the group is done with, and that have no answer.
        duplicated: Utterances with more than one answer; one of an aborted transaction would make it so.
        unanswered: Utterances that nobody is done with.
        misplaced: Answers on another partition, or under another key, than their utterance's.
        disordered: Results behind one of a later utterance of their partition.
        altered: Dead letters that are not what was sent.
        invented: Answers to what nobody said.
        unknown_revisions: Revisions of the flags that results name, and that the audit lacks.
        flags_differ: Workers whose flags are not those in the log.
        rows_missing: Results that Postgres lacks.
        rows_differ: Rows that say something else than the log, or that it lacks.
        lies: Answers of probes that were not true.
    """

    events: int
    results: int
    dead_letters: int
    aborted: int
    lost: int
    duplicated: int
    unanswered: int
    misplaced: int
    disordered: int
    altered: int
    invented: int
    unknown_revisions: int
    flags_differ: int
    rows_missing: int
    rows_differ: int
    lies: int

    @property
    def broken(self) -> dict[str, int]:
        """Return the promises that were not kept, and how often."""
        counts = msgspec.structs.asdict(self)
        return {name: count for name, count in list(counts.items())[4:] if count}


class Checker:
    """Asks the broker itself, not by way of a proxy.

    Args:
        broker: Its bootstrap servers.
        group: The workers'.
    """

    def __init__(self, broker: str, group: str) -> None:
        self._broker = broker
        self._group = group

    def wait_until_answered(self, seconds: float, *, behind: int = 0) -> dict[int, int]:
        """Wait until the group is done with all utterances, for so long at most; return how far it is, by partition.

        Args:
            seconds: How long.
            behind: How many may be left, because more are coming.
        """
        deadline = time.monotonic() + seconds
        consumer = self._consumer(**{"group.id": self._group})
        try:
            while True:
                committed, left = self._progress(consumer)
                if (left is not None and left <= behind) or time.monotonic() > deadline:
                    return committed
                time.sleep(_POLL_SECONDS)
        finally:
            consumer.close()

    def read_books(self) -> Books:
        """Return the account of all topics, as a read_committed reader sees them.

        Raises:
            UnavailableError: A topic could not be read to its end.
        """
        books = Books(UTTERANCES)
        for record in self.read(UTTERANCES):
            books.utterance((record.partition() or 0, record.offset() or 0), record.key(), record.value())
        for record in self.read(RESULTS):
            at = record.timestamp()[1] / 1000
            books.result(record.partition() or 0, record.key(), record.value() or b"", at)
        for record in self.read(DEAD_LETTERS):
            books.dead_letter(record.key(), record.value(), headers_of(record))
        return books

    def count_uncommitted(self) -> int:
        """Return how many results stand on the topic, those of aborted transactions among them."""
        return sum(1 for _ in self.read(RESULTS, isolation="read_uncommitted"))

    def flags_in_log(self) -> FlagStates:
        """Return what the changelog amounts to: the last record of each flag."""
        states: FlagStates = {}
        for record in self.read(FLAGS):
            change = json.loads(record.value() or b"")
            states[change["name"]] = _flag_state(change)
        return states

    def audited_revisions(self) -> set[int]:
        """Return every revision that the flags ever had; 0, before any change, among them."""
        return {0} | {json.loads(record.value() or b"")["revision"] for record in self.read(FLAGS_AUDIT)}

    def read(self, topic: str, *, isolation: str = "read_committed") -> Iterator[Message]:
        """Yield a topic's records from its beginning to its end, each partition in its order.

        Raises:
            UnavailableError: The broker is silent.
        """
        consumer = self._consumer(**{"isolation.level": isolation, "enable.partition.eof": True})
        try:
            left = set(consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
            heard_at = time.monotonic()
            while left:
                messages = consumer.consume(5_000, _FETCH_SECONDS)
                heard_at = time.monotonic() if messages else heard_at
                if time.monotonic() - heard_at > _SILENCE_SECONDS:
                    raise UnavailableError(f"{topic} could not be read to its end.")
                for message in messages:
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own errors are named so
                        left.discard(message.partition() or 0)
        except KafkaException as error:
            raise UnavailableError(f"{topic} could not be read: {error}") from error
        finally:
            consumer.close()

    def _progress(self, consumer: Consumer) -> tuple[dict[int, int], int | None]:
        """Return the group's offsets, and how many utterances are left; None where the broker does not say."""
        try:
            partitions = consumer.list_topics(UTTERANCES, timeout=_ANSWER_SECONDS).topics[UTTERANCES].partitions
            places = [TopicPartition(UTTERANCES, partition) for partition in partitions]
            ends = {each.partition: consumer.get_watermark_offsets(each, timeout=_ANSWER_SECONDS)[1] for each in places}
            found = consumer.committed(places, timeout=_ANSWER_SECONDS)
        except KafkaException:  # only just back
            return {}, None
        committed = {place.partition: max(0, place.offset) for place in found}
        return committed, sum(max(0, end - committed[partition]) for partition, end in ends.items())

    def _consumer(self, **config: object) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._broker,
                "group.id": "chaos-onlooker",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "receive.message.max.bytes": 256 * 1024 * 1024,
                "logger": _quiet,
                **config,
            }
        )


def workers_that_differ(
    workers: Sequence[MortalWorker], flags: FlagStates, *, seconds: float
) -> dict[str, FlagStates | None]:
    """Return the flags of each worker whose flags are not those, once it has had so long to follow; None: no answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = {worker.worker_id: _flags_of(worker) for worker in workers}
        differing = {
            worker: states
            for worker, states in found.items()
            if states is None or {name: states.get(name) for name in flags} != flags
        }
        if not differing or time.monotonic() > deadline:
            return differing
        time.sleep(_POLL_SECONDS)


def compare_rows(dsn: str, events: Mapping[str, str], *, seconds: float) -> tuple[int, int]:
    """Return how many events a table of results lacks, and how many of its rows are none of them.

    Args:
        dsn: Of Postgres.
        events: Digests of what must be there, by id.
        seconds: How long it may take until nothing is lacking.
    """
    deadline = time.monotonic() + seconds
    while True:
        rows = _quietly(lambda: asyncio.run(_rows(dsn)))
        missing = len(events.keys() - rows.keys())
        if not missing or time.monotonic() > deadline:
            return missing, sum(events.get(name) != digest for name, digest in rows.items())
        time.sleep(_POLL_SECONDS)


def _quietly(ask: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        return ask()
    except (asyncpg.PostgresError, OSError, TimeoutError):  # only just back, or without tables yet
        return {}


async def _rows(dsn: str) -> dict[str, str]:
    connection = await asyncpg.connect(dsn, timeout=_ANSWER_SECONDS)
    try:
        rows = await connection.fetch("SELECT id, event::text AS event FROM intentstream.results")
        return {row["id"]: event_digest(json.loads(row["event"])) for row in rows}
    finally:
        connection.terminate()


def _flags_of(worker: MortalWorker) -> FlagStates | None:
    body = worker.get("/api/v1/feature-flags")
    try:
        return {flag["name"]: _flag_state(flag) for flag in json.loads(body)["flags"]}
    except (ValueError, KeyError):
        return None


def _flag_state(flag: Mapping[str, Any]) -> tuple[int, bool, float]:
    return flag["revision"], flag["enabled"], float(flag.get("rollout_percentage", 100.0))


def headers_of(record: Message) -> list[tuple[str, bytes | None]]:
    """Return a record's headers; none where it has none."""
    headers: Any = record.headers()
    return list(headers or ())
