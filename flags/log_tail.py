"""Follows a topic of one partition from its beginning and for ever: a thread, group-less, that starts again on faults.

Nothing is committed anywhere; every process reads all there is. What the records mean is its listener's. The broker is
asked where the log ends, by another client: a consumer that brings nothing does not tell whether there is anything.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from flags.log_end import LogEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

_log = structlog.get_logger(__name__)

_FETCH = 1_000
_POLL_SECONDS = 0.1
_RESTART_SECONDS = 1.0

_NO_TOPIC = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - librdkafka's own errors are named so
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - likewise
    }
)
"""A consumer that met one of these does not always notice when the topic is there."""


class TailListener(Protocol):
    """Who is told what stands on the topic. Called on the tail's thread."""

    def began(self) -> None:
        """Expect the topic from its beginning, again perhaps."""

    def came(self, records: Sequence[Message], *, at_end: bool) -> None:
        """Take the next records, in order.

        Args:
            records: None, where only the end was reached.
            at_end: Whether that was the log's end.
        """

    def idled(self) -> None:
        """Do what is due between two readings, some ten times a second."""


class TailObserver(Protocol):
    """Who counts what goes wrong. Called on the tail's thread; must not block."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself, or that trying again mends."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class LogTail:
    """One topic, followed.

    Args:
        name: Of the thread, and in logs.
        new_consumer: Makes a consumer as `flags.clients.follower_config` configures it.
        admin: Tells where the log ends and whether it is still the same topic.
        topic: Of one partition.
        listener: Who is told.
        observer: Who counts.
        check_seconds: How often the broker is asked where the log ends.
        stuck_seconds: When nothing has come for so long although the broker says that there is more, all is read again
            with a new consumer. Longer than a writer's transaction may stay open.

    Attributes:
        end: Where the log ends, as the broker said last.
    """

    def __init__(
        self,
        name: str,
        *,
        new_consumer: Callable[[], Consumer],
        admin: AdminClient,
        topic: str,
        listener: TailListener,
        observer: TailObserver,
        check_seconds: float = 5.0,
        stuck_seconds: float = 15.0,
    ) -> None:
        self.end = LogEnd(admin, topic, check_seconds)
        self._name = name
        self._new_consumer = new_consumer
        self._topic = topic
        self._listener = listener
        self._observer = observer
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._stuck_seconds = stuck_seconds
        self._reached = 0
        self._moved_to, self._moved_at = 0, 0.0

    @property
    def reached(self) -> int:
        """Return the first offset that was not read."""
        return self._reached

    def start(self) -> None:
        """Begin to follow, on a thread that keeps no process from ending."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop following, started or not; return whether the thread has ended."""
        self._stopping.set()
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except KafkaException as failure:
                self._observer.broker_error(failure.args[0].name())
            except Exception as error:  # noqa: BLE001 - the thread's guard: a bug leaves what is known old, and no more
                self._observer.unexpected(self._name)
                _log.error("log_tail_failed", tail=self._name, fault=type(error).__name__, exc_info=error)
            self._stopping.wait(_RESTART_SECONDS)

    def _follow(self) -> None:
        """Read from the beginning, for ever, or until all must be read again."""
        self._reached = 0
        self._moved_to, self._moved_at = 0, time.monotonic()
        self._listener.began()
        consumer = self._new_consumer()
        try:
            consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
            while not self._stopping.is_set():
                first = consumer.poll(_POLL_SECONDS)
                if first is not None and not self._take([first, *consumer.consume(_FETCH, 0)]):
                    return
                if not self._is_followed():
                    return
                self._listener.idled()
        finally:
            consumer.close()

    def _take(self, messages: list[Message]) -> bool:
        """Hand on what came; return whether the log is still the one that we began to read."""
        records, at_end = [], False
        for message in messages:
            error, offset = message.error(), message.offset() or 0
            if error is None:
                if offset < self._reached:
                    _log.warning("log_began_again", topic=self._topic, offset=offset, expected=self._reached)
                    return False
                records.append(message)
                self._reached = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
                at_end = True
                self._reached = max(self._reached, offset)
            else:
                self._observer.broker_error(error.name())
                if error.code() in _NO_TOPIC:
                    return False
        self._listener.came(records, at_end=at_end)
        return True

    def _is_followed(self) -> bool:
        """Ask where the log ends, now and then; return whether the consumer still follows the log that there is."""
        self.end.ask()
        if self.end.is_another_topic():
            _log.warning("log_made_anew", topic=self._topic)
            return False
        if self._is_stuck():
            _log.warning("log_tail_stuck", tail=self._name, reached=self._reached, end=self.end.offset)
            return False
        return True

    def _is_stuck(self) -> bool:
        """Return whether the consumer brings nothing any more, although the broker answers and there is more to bring.

        A connection that was throttled or frozen can leave a partition of librdkafka's 2.13.2 so for ever, as it
        validates its offset against the leader's epoch.
        """
        end = self.end.offset
        if self._reached != self._moved_to or end is None or end <= self._reached:
            self._moved_to, self._moved_at = self._reached, time.monotonic()
        return self.end.asked_at - self._moved_at > self._stuck_seconds
