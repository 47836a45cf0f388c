"""Reads a topic of one partition to where it ends now: what writers and onlookers need before they say anything.

Nothing is fetched between readings. Blocking; one thread at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from flags.clients import REFUSALS
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Consumer, Message

_FETCH = 500
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 0.02
_MISSING_SECONDS = 3.0

_MISSING = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - likewise
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - likewise
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


class Record(NamedTuple):
    """What stands at an offset."""

    offset: int
    key: bytes | None
    value: bytes | None


class LogReader:
    """One topic, read again and again.

    Args:
        consumer: As `flags.clients.reader_config` configures it; nobody else's. Closed by whoever made it.
        topic: Of one partition.
        timeout_seconds: How long the broker may keep silent.
    """

    def __init__(self, consumer: Consumer, topic: str, *, timeout_seconds: float = 10.0) -> None:
        self._consumer = consumer
        self._topic = topic
        self._timeout_seconds = timeout_seconds

    def bounds(self) -> tuple[int, int]:
        """Return the first offset there is and the one after the last that is committed.

        Raises:
            UnavailableError: The broker does not say.
        """
        begun = time.monotonic()
        while True:
            try:
                low, end = self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, 0), timeout=self._timeout_seconds
                )
            except KafkaException as error:
                # A topic created just now has no leader yet; a broker that is coming back does not know any.
                if time.monotonic() - begun < self._patience(error.args[0].code()):
                    time.sleep(_RETRY_SECONDS)
                    continue
                raise UnavailableError(
                    f"The broker does not tell where {self._topic} ends: {error.args[0].str()}. "
                    "`intentstream topics apply` creates what is missing."
                ) from error
            return low, end

    def read(self, start: int, end: int) -> Iterator[Record]:
        """Yield what is committed from an offset on, and stop once everything before `end` was read.

        More may come: whatever has been committed in the meantime.

        Raises:
            UnavailableError: The broker went away before that.
        """
        return map(_record, self.messages(start, end))

    def messages(self, start: int, end: int) -> Iterator[Message]:
        """Yield the same as they came, headers and all.

        Raises:
            UnavailableError: The broker went away before that.
        """
        if start >= end:
            return
        self._consumer.assign([TopicPartition(self._topic, 0, start)])
        try:
            reached = start
            silent_since = time.monotonic()
            while reached < end:
                messages = self._fetch()
                now = time.monotonic()
                if messages:
                    silent_since = now
                elif now - silent_since > self._timeout_seconds:
                    raise UnavailableError(f"The broker stopped answering before all of {self._topic} was read.")
                for message in messages:
                    reached = max(reached, self._after(message))
                    if message.error() is None:
                        yield message
        finally:
            self._consumer.unassign()

    def _patience(self, code: int) -> float:
        """Return for how many seconds a failure may pass by itself."""
        if code in REFUSALS:
            return 0.0
        return min(_MISSING_SECONDS, self._timeout_seconds) if code in _MISSING else self._timeout_seconds

    def _fetch(self) -> list[Message]:
        """Return as soon as something came: `consume` with a timeout would wait for as many as were asked for."""
        first = self._consumer.poll(_POLL_SECONDS)
        return [] if first is None else [first, *self._consumer.consume(_FETCH, 0)]

    def _after(self, message: Message) -> int:
        """Return the offset after a record, or the one where the log ends; a record of no data ends transactions."""
        error, offset = message.error(), message.offset()
        if error is None:
            return int(offset or 0) + 1
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
            return int(offset or 0)
        if error.fatal() or error.code() in REFUSALS:
            raise UnavailableError(f"The broker refuses to have {self._topic} read: {error.str()}.")
        return 0  # librdkafka goes on trying


def _record(message: Message) -> Record:
    key, value = message.key(), message.value()
    return Record(
        int(message.offset() or 0),
        key.encode() if isinstance(key, str) else key,
        value.encode() if isinstance(value, str) else value,
    )
