"""Reads topics as an onlooker: no group, no commits, only what is committed; what people and tests look through."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, Self

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from flags.clients import REFUSALS
from schemas.errors import IntentStreamError, UnavailableError
from streams.clients import MAX_RECORD_BYTES, client_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from confluent_kafka import Message

    from schemas.settings import Settings

_FETCH = 500
_QUEUED_KILOBYTES = 16_384
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 0.05


class MissingTopicError(IntentStreamError):
    """A topic does not exist; `intentstream topics apply` creates it."""

    code = "missing_topic"
    http_status = 503
    exit_code = 69


class Unfinished:
    """Partitions that are being read, until the client says that they have ended; false once all have.

    Args:
        places: Where each is read from; their consumer has `enable.partition.eof`.
    """

    def __init__(self, places: Iterable[TopicPartition]) -> None:
        self._places = {(place.topic, place.partition) for place in places}

    def __bool__(self) -> bool:
        return bool(self._places)

    def records(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Yield what are records among what came, and act on what are words of the client.

        Raises:
            UnavailableError: The broker refuses for good.
        """
        for message in messages:
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
                self._places.discard((message.topic() or "", message.partition() or 0))
            elif error.fatal() or error.code() in REFUSALS:
                raise UnavailableError(f"The broker refuses: {error.str()}.")
            # whatever else it is, librdkafka goes on trying


class TopicReader:
    """Every partition of some topics, read side by side: in order within a partition, in no order between them.

    Use as a context manager. Nothing is left behind on the broker.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        *,
        start: Literal["beginning", "end"],
        timeout_seconds: float = 5.0,
    ) -> None:
        """Find the partitions and stand at their start or at their end.

        Args:
            settings: Where the broker is.
            topics: What to read.
            start: Where: before the first record there is, or after the last.
            timeout_seconds: How long the broker may take to tell about a topic.

        Raises:
            UnavailableError: The broker is away.
            MissingTopicError: It has no such topic.
        """
        self._consumer = Consumer(
            client_config(settings)
            | {
                "group.id": "intentstream-onlooker",  # librdkafka wants a name; nobody joins and nothing is committed
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": _QUEUED_KILOBYTES,
                "receive.message.max.bytes": 2 * MAX_RECORD_BYTES,
            }
        )
        try:
            partitions = [place for topic in topics for place in self._partitions(topic, timeout_seconds)]
            if start == "beginning":
                self._assign([TopicPartition(place.topic, place.partition, OFFSET_BEGINNING) for place in partitions])
            else:
                self._assign([self._end(place, timeout_seconds) for place in partitions])
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def read(self, seconds: float) -> list[Message]:
        """Return what has arrived: at once if something has, else after `seconds` at most, and then nothing.

        Raises:
            UnavailableError: The broker refuses for good.
        """
        return list(self._unfinished.records(self._fetch(seconds)))

    def read_to_end(self, *, idle_seconds: float = 30.0) -> Iterator[Message]:
        """Yield what there is, and end where each partition ended when it was reached.

        Args:
            idle_seconds: How long nothing may come before every partition has ended.

        Raises:
            UnavailableError: The broker went away before that.
        """
        idle = 0.0
        while self._unfinished:
            records = self._fetch(_POLL_SECONDS)
            idle = 0.0 if records else idle + _POLL_SECONDS
            if idle > idle_seconds:
                raise UnavailableError("The broker stopped answering before everything was read; try again.")
            yield from self._unfinished.records(records)

    def _fetch(self, seconds: float) -> list[Message]:
        """Return as soon as something came: `consume` with a timeout would wait for as many as were asked for."""
        first = self._consumer.poll(seconds)
        return [] if first is None else [first, *self._consumer.consume(_FETCH, 0)]

    def _assign(self, places: list[TopicPartition]) -> None:
        self._unfinished = Unfinished(places)
        self._consumer.assign(places)

    def _partitions(self, topic: str, timeout_seconds: float) -> list[TopicPartition]:
        try:
            found = self._consumer.list_topics(topic, timeout_seconds).topics[topic]
        except KafkaException as error:
            raise UnavailableError(f"The broker does not answer: {error.args[0].str()}.") from error
        if found.error is not None:
            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise MissingTopicError(f"There is no topic {topic}; create it with `intentstream topics apply`.")
            raise UnavailableError(f"The broker does not tell about {topic}: {found.error.str()}.")
        return [TopicPartition(topic, partition) for partition in sorted(found.partitions)]

    def _end(self, place: TopicPartition, timeout_seconds: float) -> TopicPartition:
        """Return a partition's end as it is now, so that what arrives before the first fetch is read, too."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                _, end = self._consumer.get_watermark_offsets(place, timeout=timeout_seconds)
            except KafkaException as error:
                # A topic created just now has no leader yet.
                if error.args[0].retriable() and time.monotonic() < deadline:
                    time.sleep(_RETRY_SECONDS)
                    continue
                raise UnavailableError(f"The broker does not tell where {place.topic} ends.") from error
            return TopicPartition(place.topic, place.partition, end if end >= 0 else OFFSET_END)
