"""Holds what was asked against what was answered, read by confluent-kafka's own consumer and no code of ours."""

from __future__ import annotations

import bisect
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from confluent_kafka import Message

UTTERANCES = "intents.utterances.v1"
RESULTS = "intents.results.v1"
DEAD_LETTERS = "intents.deadletter.v1"
GROUP = "intentstream"

_ANSWER_SECONDS = 5.0
_FETCH_SECONDS = 0.2
_SILENCE_SECONDS = 30.0

Place = tuple[int, int]
"""Partition and offset of an utterance."""


@dataclass
class Account:
    """What became of the utterances, by their places."""

    utterances: dict[Place, Message] = field(default_factory=dict)
    results: dict[Place, Message] = field(default_factory=dict)
    dead_letters: dict[Place, Message] = field(default_factory=dict)
    answers: Counter[Place] = field(default_factory=Counter)
    misplaced: list[Place] = field(default_factory=list)
    disordered: list[Place] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{len(self.lost)} lost, {len(self.twice)} twice"

    @property
    def lost(self) -> list[Place]:
        """Utterances that nobody answered."""
        return [place for place in self.utterances if not self.answers[place]]

    @property
    def twice(self) -> list[Place]:
        """Utterances that were answered more than once, as a result or as a dead letter."""
        return [place for place, count in self.answers.items() if count > 1]

    def check(self, utterances: int) -> None:
        """Hold it to the promise: each of so many utterances once, on its own partition, in order, under its key."""
        faults = (len(self.lost), len(self.twice), len(self.misplaced), len(self.disordered))
        assert len(self.utterances) == utterances
        assert faults == (0, 0, 0, 0), (
            f"lost, twice, misplaced, out of order: {faults} of {utterances}; "
            f"lost {self.lost[:5]}, twice {self.twice[:5]}, misplaced {self.misplaced[:5]}"
        )
        for place, result in self.results.items():
            key = self.utterances[place].key()
            assert key is None or result.key() == key


class Ledger:
    """Everything on our topics since it was opened. Use as a context manager."""

    def __init__(self, broker: str, group: str = GROUP) -> None:
        self._broker = broker
        # Never joins: it asks what others have committed, and does not wait for their open transactions.
        self._group = self._consumer(**{"group.id": group, "isolation.level": "read_uncommitted"})
        self._answered = 0
        self._begin = {topic: _ends(self._group, topic) for topic in (UTTERANCES, RESULTS, DEAD_LETTERS)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._group.close()

    def answered(self) -> int:
        """Return how many utterances the group has committed since the ledger was opened, as far as the broker says."""
        begin = self._begin[UTTERANCES]
        places = [TopicPartition(UTTERANCES, partition) for partition in begin]
        try:
            committed = self._group.committed(places, timeout=_ANSWER_SECONDS)
        except KafkaException:  # it is away, or only just back
            return self._answered
        self._answered = sum(max(0, place.offset - begin[place.partition]) for place in committed)
        return self._answered

    def wait_for_answers(self, count: int, *, seconds: float = 120.0) -> None:
        """Wait until the group has committed so many utterances."""
        wait_until(
            lambda: self.answered() >= count,
            f"{count} utterances are answered",
            seconds=seconds,
            also=lambda: f"{self.answered()} are",
        )

    def results_so_far(self) -> list[Message]:
        """Return the results, as a read_committed reader sees them."""
        return self._read(RESULTS)

    def account(self) -> Account:
        """Read it all."""
        account = Account()
        for record in self._read(UTTERANCES):
            account.utterances[record.partition() or 0, record.offset() or 0] = record
        last: defaultdict[int, int] = defaultdict(lambda: -1)
        for result in self._read(RESULTS):
            source = json.loads(result.value() or b"").get("source")
            place = (source["partition"], source["offset"]) if source else None
            if place is None or place not in account.utterances:
                continue  # asked over HTTP, or before the ledger was opened
            account.answers[place] += 1
            account.results[place] = result
            if result.partition() != place[0]:
                account.misplaced.append(place)
            if place[1] <= last[place[0]]:
                account.disordered.append(place)
            last[place[0]] = place[1]
        for letter in self._read(DEAD_LETTERS):
            said = dict(letter.headers() or ())
            place = (
                int(said["__connect.errors.partition"] or b""),
                int(said["__connect.errors.offset"] or b""),
            )
            if place in account.utterances:
                account.answers[place] += 1
                account.dead_letters[place] = letter
        return account

    def _read(self, topic: str) -> list[Message]:
        """Return what stood there when this was called, once it is decided of all of it whether it is committed.

        That a group has committed is known before its results can be read: each partition gets a marker of its own.
        """
        ends = _ends(self._group, topic)
        with self._consumer(**{"enable.partition.eof": True}) as consumer:
            begin = self._begin[topic]
            consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in begin.items()])
            open_partitions = set(begin)
            records: list[Message] = []
            heard_at = time.monotonic()
            while open_partitions:
                messages = consumer.consume(5_000, _FETCH_SECONDS)
                heard_at = time.monotonic() if messages else heard_at
                assert time.monotonic() - heard_at < _SILENCE_SECONDS, f"{topic} could not be read to its end"
                for message in messages:
                    error = message.error()
                    if error is None:
                        records.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        partition = message.partition() or 0
                        if (message.offset() or 0) >= ends[partition]:
                            open_partitions.discard(partition)
        return records

    def _consumer(self, **config: object) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._broker,
                "group.id": "onlooker",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "receive.message.max.bytes": 256 * 1024 * 1024,
                **config,
            }
        )


def pauses(results: Iterable[Message], moments: Iterable[float]) -> list[float]:
    """Return for each moment (Unix seconds) the time between the last result before it and the first after it.

    Results carry the time at which the broker appended them, where the topic is told to (`LogAppendTime`).
    """
    times = sorted(result.timestamp()[1] / 1000 for result in results)
    found = []
    for moment in moments:
        after = bisect.bisect_right(times, moment)
        found.append(times[after] - times[after - 1])
    return found


def _ends(consumer: Consumer, topic: str) -> dict[int, int]:
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    return {partition: _end(consumer, TopicPartition(topic, partition)) for partition in partitions}


def _end(consumer: Consumer, place: TopicPartition) -> int:
    """Return where a partition ends; a topic just made may have no leader yet."""
    found: list[int] = []

    def is_told() -> bool:
        try:
            found.append(consumer.get_watermark_offsets(place, timeout=20)[1])
        except KafkaException as failure:
            if not failure.args[0].retriable() and failure.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
        return bool(found)

    wait_until(is_told, f"{place.topic}/{place.partition} has a leader", seconds=20)
    return found[-1]
