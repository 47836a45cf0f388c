"""Writes answers without transactions, for who prefers an answer twice to a coordinator's work: at least once.

A batch's offsets may be committed once the broker has acknowledged all of its answers, never before. Whatever fails in
between costs no answer: the records are fetched again, and answered again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from health.logs import describe_fault
from schemas.errors import UnavailableError
from streams.transactions import CALL_SECONDS, PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from confluent_kafka import Message, Producer

    from streams.batches import Outgoing
    from streams.transactions import TransactionsObserver

_log = structlog.get_logger(__name__)

_QUEUE_FULL_SECONDS = 0.05


class Deliveries:
    """Writes batches one after another; what `streams.transactions.Transactions` does in transactions.

    Args:
        new_producer: Makes an idempotent producer that reports errors alone.
        repair: Brings the topics in line; called when a partition that was to be written to does not exist.
        stopping: Set when waiting for the broker is no longer wanted.
        observer: Who counts.
        patience_seconds: After so long without an acknowledgement a producer is replaced.
    """

    def __init__(
        self,
        new_producer: Callable[[], Producer],
        *,
        repair: Callable[[], None],
        stopping: threading.Event,
        observer: TransactionsObserver,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._new_producer = new_producer
        self._repair = repair
        self._stopping = stopping
        self._observer = observer
        self._patience_seconds = patience_seconds
        self._producer: Producer | None = None
        self._fault: KafkaError | None = None
        self._arrived: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """Make the producer; the broker is asked nothing yet."""
        self._ready_producer()

    def commit(self, answers: Iterable[Outgoing], offsets: list[TopicPartition], _group: Any) -> bool:
        """Write the answers; return whether the broker has all of them, so that the offsets are among `arrived`."""
        try:
            self._write(self._ready_producer(), answers)
        except KafkaException as failure:
            self._failed(failure.args[0])
            return False
        except TimeoutError:
            reason = "stopping" if self._stopping.is_set() else "unanswered"
            _log.warning("intake_producer_replaced", reason=reason)
            self._observer.aborted(reason)
            self._let_go()
            return False
        except Exception as error:  # noqa: BLE001 - the commit's guard: a bug costs answers again, never one or a thread
            self._observer.unexpected("commit")
            _log.error("intake_commit_failed", **describe_fault(error))
            self._let_go()
            return False
        with self._lock:
            self._arrived.update({(place.topic, place.partition): place.offset for place in offsets})
        return True

    def arrived(self) -> list[TopicPartition]:
        """Take the offsets up to which all answers have arrived, to commit them. From any thread."""
        with self._lock:
            taken, self._arrived = self._arrived, {}
        return [TopicPartition(*place, offset) for place, offset in taken.items()]

    def _write(self, producer: Producer, answers: Iterable[Outgoing]) -> None:
        """Write them, and wait until none is under way.

        Raises:
            KafkaException: The broker refused one.
            TimeoutError: It has not acknowledged all of them, and we wait no longer.
        """
        self._fault = None
        give_up_at = time.monotonic() + self._patience_seconds
        for topic, value, key, partition, headers in answers:
            while True:
                try:
                    producer.produce(topic, value, key, partition, on_delivery=self._delivered, headers=headers)  # type: ignore[arg-type]  # a list always, of bytes
                    break
                except BufferError:
                    producer.poll(_QUEUE_FULL_SECONDS)
                    self._check(give_up_at)
        while producer.flush(CALL_SECONDS):
            self._check(give_up_at)
        if self._fault is not None:
            raise KafkaException(self._fault)

    def _check(self, give_up_at: float) -> None:
        if self._stopping.is_set() or time.monotonic() >= give_up_at:
            raise TimeoutError

    def _delivered(self, error: KafkaError | None, _record: Message) -> None:
        self._fault = self._fault or error

    def _failed(self, error: KafkaError) -> None:
        """Say so, and begin anew with another producer: of this one, others' answers may still be under way."""
        _log.warning("intake_delivery_failed", code=error.name(), detail=error.str(), fatal=error.fatal())
        self._observer.aborted(error.name())
        self._let_go()
        if error.code() == KafkaError._UNKNOWN_PARTITION:  # noqa: SLF001 - that is its public name
            try:
                self._repair()
            except UnavailableError as unavailable:
                _log.warning("intake_topics_not_in_line", detail=str(unavailable))

    def _let_go(self) -> None:
        """Have the next batch begin with another producer; what this one has not sent, it never will."""
        if self._producer is not None:
            self._producer.purge()
        self._producer = None

    def _ready_producer(self) -> Producer:
        if self._producer is None:
            self._producer = self._new_producer()
        return self._producer
