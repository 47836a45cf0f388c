"""Finds one result among all there were, reading as little of its topic as it can.

The result of an utterance stands on the utterance's own partition, soon after it was said; so its id tells where to
look, and the utterance from when on. A result of HTTP may stand anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.errors import IntentStreamError, UnavailableError
from schemas.events import Result, Source
from streams.clients import evidence_consumer_config
from streams.reader import Unfinished
from streams.topics import RESULTS, UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from confluent_kafka import Message

    from schemas.settings import Settings

_FETCH = 1_000
_ASK_SECONDS = 10.0
_SILENT_SECONDS = 30.0
_SKEW_SECONDS = 60.0
"""By how much the clocks of a producer and of a worker may differ."""

_results = msgspec.json.Decoder(Result)


class UnknownResultError(IntentStreamError):
    """No such result stands where it was looked for; it may be older, or gone."""

    code = "unknown_result"
    http_status = 404
    exit_code = 66


class Found(NamedTuple):
    """A result.

    Attributes:
        result: As it was written.
        record: In which it stands.
        utterance: The record of what it answers; None: of HTTP, or gone.
    """

    result: Result
    record: Message
    utterance: Message | None


class PastReader:
    """Reads topics from somewhere in the past to where they end. Use as a context manager; nobody's group is joined.

    Args:
        settings: Where the broker is.
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(evidence_consumer_config(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """Return a topic's partitions; none, if there is no such topic.

        Raises:
            UnavailableError: The broker is away.
        """
        try:
            return sorted(self._consumer.list_topics(topic, _ASK_SECONDS).topics[topic].partitions)
        except KafkaException as error:
            raise UnavailableError(f"The broker does not answer: {error.args[0].str()}.") from error

    def at(self, place: Source) -> Message | None:
        """Return the record that stands there, if one still does.

        Raises:
            UnavailableError: The broker went away before that.
        """
        if place.partition not in self.partitions(place.topic):
            return None
        low, end = self.bounds(place.topic, place.partition)
        if not low <= place.offset < end:
            return None
        first = next(self._read([TopicPartition(place.topic, place.partition, place.offset)]), None)
        return first if first is not None and first.offset() == place.offset else None

    def since(self, topic: str, partitions: Sequence[int], seconds: float) -> Iterator[Message]:
        """Yield what came since then, by the records' timestamps, up to where each partition ends.

        Args:
            topic: What to read.
            partitions: Which of its partitions.
            seconds: Unix time.

        Raises:
            UnavailableError: The broker went away before that.
        """
        asked = [TopicPartition(topic, partition, max(0, int(seconds * 1000))) for partition in partitions]
        try:
            places = self._consumer.offsets_for_times(asked, timeout=_ASK_SECONDS)
        except KafkaException as error:
            raise UnavailableError(f"The broker does not tell about {topic}: {error.args[0].str()}.") from error
        yield from self._read(places)

    def span(self, topic: str, partition: int, begin: float, end: float) -> tuple[int, int]:
        """Return the offset from which on a partition's records are of a stretch of time, and the one before which.

        Args:
            topic: What to look at.
            partition: Of it.
            begin: Unix time.
            end: Likewise; records of that very moment do not belong to it.

        Raises:
            UnavailableError: The broker does not tell.
        """
        _, last = self.bounds(topic, partition)
        asked = [TopicPartition(topic, partition, max(0, int(seconds * 1000))) for seconds in (begin, end)]
        try:
            # One by one: asked for one partition twice, the client answers once.
            first, after = (self._consumer.offsets_for_times([each], timeout=_ASK_SECONDS)[0].offset for each in asked)
        except KafkaException as error:
            raise UnavailableError(f"The broker does not tell about {topic}: {error.args[0].str()}.") from error
        return (last if first < 0 else first), (last if after < 0 else after)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first offset that a partition has, and the one after its last.

        Raises:
            UnavailableError: The broker does not tell.
        """
        try:
            return self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_SECONDS)
        except KafkaException as error:
            raise UnavailableError(f"The broker does not tell where {topic} ends.") from error

    def records(self, topic: str, partition: int, start: int, end: int) -> Iterator[Message]:
        """Yield a partition's records from one offset on, before another.

        Raises:
            UnavailableError: The broker went away before that.
        """
        if start >= end:
            return
        for record in self._read([TopicPartition(topic, partition, start)]):
            offset = record.offset() or 0
            if offset < end:
                yield record
            if offset >= end - 1:
                return

    def _read(self, places: list[TopicPartition]) -> Iterator[Message]:
        unfinished = Unfinished(places)
        self._consumer.assign(places)
        while unfinished:
            first = self._consumer.poll(_SILENT_SECONDS)
            if first is None:
                raise UnavailableError("The broker stopped answering before everything was read; try again.")
            yield from unfinished.records((first, *self._consumer.consume(_FETCH, 0)))


def find_result(reader: PastReader, result_id: str, *, since: float) -> Found:
    """Return a result by its id.

    Args:
        reader: Of the broker.
        result_id: Of the result.
        since: Unix time; where the id does not tell where to look, nothing before this is.

    Raises:
        UnknownResultError: It is not there.
        UnavailableError: The broker went away.
    """
    place = _place_of(result_id)
    utterance = None if place is None else reader.at(place)
    partitions = reader.partitions(RESULTS) if place is None else [place.partition]
    begin = since if utterance is None else min(since, utterance.timestamp()[1] / 1000 - _SKEW_SECONDS)
    quoted = msgspec.json.encode(result_id)
    for record in reader.since(RESULTS, partitions, begin):
        result = _read_result(record) if quoted in (record.value() or b"") else None
        if result is not None and result.id == result_id:
            return Found(result, record, utterance)
    raise UnknownResultError(
        f"There is no result {result_id} on {RESULTS} as far back as was looked; --since looks further. "
        "An utterance that could not be processed is among the dead letters."
    )


def _place_of(result_id: str) -> Source | None:
    """Return where the utterance stands that a result answers, if its id says so."""
    topic, _, rest = result_id.partition("/")
    partition, _, offset = rest.partition("/")
    if topic == UTTERANCES and partition.isdecimal() and offset.isdecimal():
        return Source(topic=topic, partition=int(partition), offset=int(offset))
    return None


def _read_result(record: Message) -> Result | None:
    try:
        return _results.decode(record.value() or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # nothing of ours
