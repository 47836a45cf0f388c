"""Reads results and feedback from where the tables end; group-less, for the tables themselves say how far they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from health.lag import Progress
from schemas.errors import InvalidEventError
from schemas.record_headers import headers_of
from streams.privacy.parts import opening
from streams.sink.rows import Batch, Place, feedback_row, forget_request, result_row
from streams.topics import FEEDBACK, RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Consumer, Message

    from streams.privacy.person_keys import PersonKeys
    from streams.sink.rows import Positions

_ASK_SECONDS = 5.0
_POLL_SECONDS = 0.1
_FETCH = 1_000

TOPICS = (RESULTS, FEEDBACK)


class LogObserver(Protocol):
    """Who counts. Called on the sink's thread; must not block."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself."""

    def sink_refused(self, table: str, code: str, rows: int) -> None:
        """Count records of which there will be no row."""


class ProjectedLog:
    """The partitions of both topics, read side by side. Blocking; one thread at a time.

    Args:
        consumer: As `streams.clients.sink_consumer_config` configures it; closed by its owner.
        keep_text: Whether a correction's text becomes part of its row.
        observer: Who counts.
        keys: Open what is sealed, to tell which lesson a correction is of.
    """

    def __init__(
        self, consumer: Consumer, *, keep_text: bool, observer: LogObserver, keys: PersonKeys | None = None
    ) -> None:
        self._keys = keys
        self._consumer = consumer
        self._keep_text = keep_text
        self._observer = observer
        self._progress = Progress()
        self._next: Positions = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._standing = False
        self._times_ms: dict[tuple[str, int], int] = {}

    def cluster(self) -> str:
        """Return which Kafka this is.

        Raises:
            KafkaException: The broker does not say.
        """
        return str(self._consumer.list_topics(RESULTS, _ASK_SECONDS).cluster_id)

    def partitions(self) -> set[tuple[str, int]]:
        """Return which partitions there are.

        Raises:
            KafkaException: The broker does not say.
        """
        return {
            (topic, partition)
            for topic in TOPICS
            for partition in self._consumer.list_topics(topic, _ASK_SECONDS).topics[topic].partitions
        }

    def stand_at(self, partitions: set[tuple[str, int]], positions: Mapping[tuple[str, int], int]) -> Positions:
        """Read on from these positions, and where there is none from the beginning; return those that cannot be.

        A position beyond its partition's end is another log's: that one is read from the beginning, too.

        Raises:
            KafkaException: The broker does not say where partitions end.
        """
        foreign: Positions = {}
        places = []
        self._next, self._ends = {}, {}
        for place in sorted(partitions):
            asked = TopicPartition(*place)
            low, high = self._consumer.get_watermark_offsets(asked, timeout=_ASK_SECONDS)
            position = positions.get(place)
            if position is not None and position > high:
                foreign[place] = position
                position = None
            self._next[place] = max(low, position or 0)
            self._ends[place] = high
            places.append(TopicPartition(*place, OFFSET_BEGINNING if position is None else position))
        self._progress.forget(foreign)
        self._consumer.assign(places)
        self._standing = True
        self.lag_seconds()  # from when nothing was left, or something was
        return foreign

    def let_go(self) -> None:
        """Read nothing until we stand somewhere again."""
        self._consumer.unassign()
        self._standing = False

    def read(self, most: int, seconds: float) -> Batch:
        """Return what has come: at once if that is as much as a batch may have, else after so many seconds."""
        batch = Batch([], {}, {}, {})
        deadline = time.monotonic() + seconds
        while len(batch.rows) < most and (left := deadline - time.monotonic()) > 0:
            first = self._consumer.poll(min(left, _POLL_SECONDS))
            if first is None:
                continue
            for message in (first, *self._consumer.consume(min(_FETCH, most), 0)):
                self._take(message, batch)
        return batch

    def written(self, positions: Positions) -> None:
        """Take note that everything before these positions is in the tables."""
        for place, offset in positions.items():
            self._progress.committed(place, offset, self._times_ms.get(place, 0))

    def lag_seconds(self) -> float:
        """Return for how long the first record that is not in the tables has waited, at most."""
        for place in self._next if self._standing else ():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            self._ends[place] = max(self._ends[place], high)
        known = {place: (self._next[place], self._ends[place]) for place in self._next}
        return max((lag.seconds for lag in self._progress.lag(known).values()), default=0.0)

    def _take(self, message: Message, batch: Batch) -> None:
        error = message.error()
        if error is not None:
            self._notice(message, error, batch.positions)
            return
        place = Place(message.topic() or "", message.partition() or 0, message.offset() or 0, message.timestamp()[1])
        try:
            self._read(message, place, batch)
        except InvalidEventError as fault:  # on the feedback's topic, the guard buries it
            self._observer.sink_refused("results" if place.topic == RESULTS else "feedback", fault.code, 1)
        key = (place.topic, place.partition)
        batch.positions[key] = place.offset + 1
        self._times_ms[key] = place.timestamp_ms

    def _notice(self, message: Message, error: KafkaError, positions: Positions) -> None:
        """Act on a word of the client; at an end, what is left before it are marks of transactions, and no records."""
        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
            self._observer.broker_error(error.name())
            return
        positions[message.topic() or "", message.partition() or 0] = message.offset() or 0

    def _read(self, message: Message, place: Place, batch: Batch) -> None:
        value = message.value()
        if place.topic == RESULTS:
            batch.rows.append(result_row(value, place))
            return
        headers = headers_of(message)
        request = forget_request(value, headers)
        if request is None:
            open_text = opening(self._keys)
            batch.rows.append(feedback_row(value, headers, place, keep_text=self._keep_text, open_text=open_text))
            return
        for until in (batch.forgotten, batch.forgotten_results) if request.texts else (batch.forgotten,):
            until[request.person_id] = max(place.time, until.get(request.person_id, place.time))
