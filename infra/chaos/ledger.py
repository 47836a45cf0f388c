"""Keeps account of millions of utterances while they are answered: a few bytes each, and when it was.

`books.Books` holds each answer to its utterance byte for byte, and so all of them in memory; here it is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaException, TopicPartition

from infra.background import Background
from infra.chaos.checker import headers_of
from streams.topics import DEAD_LETTERS, RESULTS, UTTERANCES

if TYPE_CHECKING:
    import numpy.typing as npt
    from confluent_kafka import Message

_FETCH_SECONDS = 0.05
_ANSWER_SECONDS = 30.0
_ORIGIN = "__connect.errors."

_quiet = logging.getLogger("intentstream.chaos.librdkafka")


class _Source(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Sourced(msgspec.Struct):
    source: _Source | None = None


class _Partition:
    """One partition's utterances, by their offsets: when each was said and answered, in Unix seconds; how often."""

    def __init__(self) -> None:
        self.said_at = array("d")
        self.answered_at = array("d")
        self.answers = bytearray()
        self.last = -1

    def reach(self, offset: int) -> None:
        missing = offset + 1 - len(self.answers)
        if missing > 0:
            self.said_at.extend([0.0] * missing)
            self.answered_at.extend([0.0] * missing)
            self.answers.extend(bytes(missing))


class Ledger(Background):
    """Reads utterances, results and dead letters as they come, as a read_committed reader does. A context manager.

    Args:
        broker: Its bootstrap servers; not by way of a proxy.

    Attributes:
        disordered: Results that stand behind one of a later utterance of their partition.
    """

    def __init__(self, broker: str) -> None:
        super().__init__("chaos-ledger")
        self.disordered = 0
        self._partitions: defaultdict[int, _Partition] = defaultdict(_Partition)
        self._lock = threading.Lock()
        self._said = self._answered = 0
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "chaos-ledger",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 10,
                "logger": _quiet,
            }
        )
        topics = self._consumer.list_topics(timeout=_ANSWER_SECONDS).topics
        self._consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic in (UTTERANCES, RESULTS, DEAD_LETTERS)
                for partition in topics[topic].partitions
            ]
        )

    @property
    def said(self) -> int:
        """Return how many utterances were read."""
        return self._said

    @property
    def answered(self) -> int:
        """Return how many answers were read, any utterance's second among them."""
        return self._answered

    @property
    def lost(self) -> int:
        """Return how many utterances have no answer."""
        with self._lock:
            return sum(each.answers.count(0) for each in self._partitions.values())

    @property
    def duplicated(self) -> int:
        """Return how many utterances have more than one."""
        with self._lock:
            return sum(
                len(each.answers) - each.answers.count(0) - each.answers.count(1) for each in self._partitions.values()
            )

    def stop(self) -> None:
        """Read no more."""
        super().stop()
        self._consumer.close()

    def wait_until_answered(self, seconds: float, *, behind: int = 0) -> bool:
        """Return whether all that was said is answered, but for so many, within so long."""
        deadline = time.monotonic() + seconds
        while self._said - self._answered > behind:
            if time.monotonic() > deadline:
                return False
            self.ending.wait(_FETCH_SECONDS)
        return True

    def latencies(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return when each utterance was said, and how many seconds later its answer was read; in order of time."""
        with self._lock:
            said_at = np.concatenate([np.array(each.said_at) for each in self._partitions.values()] or [np.empty(0)])
            seen_at = np.concatenate(
                [np.array(each.answered_at) for each in self._partitions.values()] or [np.empty(0)]
            )
        whole = (said_at > 0) & (seen_at > 0)
        order = np.argsort(said_at[whole], kind="stable")
        return said_at[whole][order], (seen_at - said_at)[whole][order]

    def run(self) -> None:
        """Take note of every record."""
        decoder = msgspec.json.Decoder(_Sourced)
        while not self.ending.is_set():
            try:
                first = self._consumer.poll(_FETCH_SECONDS)
                records = [] if first is None else [first, *self._consumer.consume(5_000, 0)]
            except KafkaException:  # the broker is away, on purpose
                continue
            seen_at = time.time()
            with self._lock:
                for record in records:
                    if record.error() is None:
                        self._note(record, seen_at, decoder)

    def _note(self, record: Message, seen_at: float, decoder: msgspec.json.Decoder[_Sourced]) -> None:
        if record.topic() == UTTERANCES:
            partition, offset = self._partitions[record.partition() or 0], record.offset() or 0
            partition.reach(offset)
            partition.said_at[offset] = record.timestamp()[1] / 1000
            self._said += 1
        elif record.topic() == RESULTS:
            source = decoder.decode(record.value() or b"").source
            if source is not None and source.topic == UTTERANCES:
                partition = self._answer(source.partition, source.offset, seen_at)
                self.disordered += source.offset <= partition.last
                partition.last = max(partition.last, source.offset)
        else:
            headers = {name: value or b"" for name, value in headers_of(record)}
            if headers.get(f"{_ORIGIN}topic") == UTTERANCES.encode():
                self._answer(int(headers[f"{_ORIGIN}partition"]), int(headers[f"{_ORIGIN}offset"]), seen_at)

    def _answer(self, number: int, offset: int, seen_at: float) -> _Partition:
        partition = self._partitions[number]
        partition.reach(offset)
        partition.answers[offset] = min(255, partition.answers[offset] + 1)
        partition.answered_at[offset] = partition.answered_at[offset] or seen_at
        self._answered += 1
        return partition
