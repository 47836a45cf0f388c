"""The transactional producer's life: made ready, used for one batch after another, taken back, replaced when fenced.

Blocking; one thread at a time.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from flags.clients import retire
from health.logs import describe_fault
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from confluent_kafka import TopicPartition

    from streams.batches import Outgoing

P = ParamSpec("P")
R = TypeVar("R")

_log = structlog.get_logger(__name__)

CALL_SECONDS = 5.0
"""One blocking call to the broker; it is made again for as long as the broker says that this may help."""

PATIENCE_SECONDS = 20.0
"""How long a commit or an abort is asked for again: four of the broker's own timeouts of a transaction, by default."""

_QUEUE_FULL_SECONDS = 0.05


class TransactionsObserver(Protocol):
    """Who counts what goes wrong. Called from any thread; must not block."""

    def aborted(self, reason: str) -> None:
        """Count a transaction that was taken back."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself, or that trying again mends."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class _StoppingError(Exception):
    """We are being stopped; what is under way is left for the next start."""


class _UnansweredError(Exception):
    """The broker has been asked for too long with this producer."""


class CallingThread(Executor):
    """Makes calls on the thread that asks for them."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Call `fn`, and return its outcome."""
        outcome: Future[R] = Future()
        try:
            outcome.set_result(fn(*args, **kwargs))
        except KafkaException as failure:
            outcome.set_exception(failure)
        return outcome


class Transactions:
    """Writes batches, each in a transaction of its own.

    Args:
        new_producer: Makes the transactional producer; called again when one has been fenced.
        repair: Brings the topics in line; called when a partition that was to be written to does not exist.
        stopping: Set when waiting for the broker is no longer wanted.
        observer: Who counts.
        patience_seconds: After so long without an answer a producer is replaced; a new one ends its transaction.
        new_executor: Where the calls to the broker are made, one for each producer. After the broker had stalled,
            librdkafka's 2.13.2 `send_offsets_to_transaction` was seen not to return, whatever its timeout; a thread of
            its own can be left behind with the producer.
    """

    def __init__(
        self,
        new_producer: Callable[[], Producer],
        *,
        repair: Callable[[], None],
        stopping: threading.Event,
        observer: TransactionsObserver,
        patience_seconds: float = PATIENCE_SECONDS,
        new_executor: Callable[[], Executor] = CallingThread,
    ) -> None:
        self._new_executor = new_executor
        self._executor = new_executor()
        self._patience_seconds = patience_seconds
        self._new_producer = new_producer
        self._repair = repair
        self._stopping = stopping
        self._observer = observer
        self._producer: Producer | None = None

    def open(self) -> None:
        """Make the producer, which ends whatever transaction a predecessor of the same id left open.

        Raises:
            UnavailableError: The broker refused, or this was stopped before it answered.
        """
        try:
            self._ready_producer()
        except _UnansweredError as error:
            raise UnavailableError("The broker did not answer the transactional producer.") from error
        except _StoppingError as error:
            raise UnavailableError("Stopped before the broker answered.") from error
        except KafkaException as error:
            raise UnavailableError(f"The broker refused the transactional producer: {error.args[0].str()}") from error

    def commit(self, answers: Iterable[Outgoing], offsets: list[TopicPartition], group: Any) -> bool:
        """Write the answers and the group's offsets in one transaction.

        Args:
            answers: What to write.
            offsets: The next to be read, of each partition.
            group: The consumer's `consumer_group_metadata()`; the broker refuses that of a member that was replaced.

        Returns:
            Whether all of it is committed; if not, none of it is, or a new producer's `open` will decide.
        """
        try:
            self._write(self._ready_producer(), answers, offsets, group)
        except KafkaException as failure:
            self._take_back(failure.args[0])
            return False
        except _StoppingError:
            self._let_go()
            self._observer.aborted("stopping")
            return False
        except _UnansweredError:
            _log.warning("intake_producer_replaced", seconds=self._patience_seconds)
            self._let_go()
            self._observer.aborted("unanswered")
            return False
        except Exception as error:  # noqa: BLE001 - the commit's guard: a bug costs a rewind, never an answer or a thread
            self._observer.unexpected("commit")
            _log.error("intake_commit_failed", **describe_fault(error))
            self._take_back(KafkaError(KafkaError._APPLICATION))  # noqa: SLF001 - that is its public name
            return False
        return True

    def arrived(self) -> list[TopicPartition]:
        """Return no offsets: they were committed with the answers."""
        return []

    def _write(
        self, producer: Producer, answers: Iterable[Outgoing], offsets: list[TopicPartition], group: Any
    ) -> None:
        producer.begin_transaction()
        produce = producer.produce
        for topic, value, key, partition, headers in answers:
            while True:
                try:
                    produce(topic, value, key, partition, headers=headers)  # type: ignore[arg-type]  # a list always, of bytes
                    break
                except BufferError:
                    producer.poll(_QUEUE_FULL_SECONDS)
                    self._check_stopping()
        give_up_at = time.monotonic() + self._patience_seconds
        self._persist(lambda: producer.send_offsets_to_transaction(offsets, group, CALL_SECONDS), give_up_at)
        self._persist(lambda: producer.commit_transaction(CALL_SECONDS), give_up_at)

    def _take_back(self, error: KafkaError) -> None:
        """Abort the transaction, or drop a producer that has none to abort any more."""
        _log.warning("intake_transaction_aborted", code=error.name(), detail=error.str(), fatal=error.fatal())
        self._observer.aborted(error.name())
        producer = self._producer
        if producer is not None and not error.fatal():
            try:
                give_up_at = time.monotonic() + self._patience_seconds
                self._persist(lambda: producer.abort_transaction(CALL_SECONDS), give_up_at)
            except KafkaException as failure:
                _log.warning("intake_abort_failed", code=failure.args[0].name(), detail=failure.args[0].str())
            except _StoppingError:
                _log.info("intake_abort_left_to_next_start")
            except _UnansweredError:
                _log.warning("intake_producer_replaced", seconds=self._patience_seconds)
            else:
                if error.code() != KafkaError._UNKNOWN_PARTITION:  # noqa: SLF001 - that is its public name
                    return
                self._add_partitions()
        self._let_go()

    def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            retire(producer)

    def _add_partitions(self) -> None:
        """Somebody gave the utterances more partitions: give the results as many. Only a new producer will see them."""
        try:
            self._repair()
        except UnavailableError as error:
            _log.warning("intake_topics_not_in_line", detail=str(error))

    def _ready_producer(self) -> Producer:
        """Return the producer; after a fence, a new one that has ended whatever its predecessor left open."""
        if self._producer is None:
            self._executor.shutdown(wait=False)
            self._executor = self._new_executor()
            producer = self._new_producer()
            self._persist(lambda: producer.init_transactions(CALL_SECONDS))
            self._producer = producer
        return self._producer

    def _persist(self, call: Callable[[], None], give_up_at: float = float("inf")) -> None:
        """Make a call again for as long as the broker says that this may help, and it is not time to give up.

        Raises:
            KafkaException: It does not help.
            _UnansweredError: It is time, or the call does not return.
            _StoppingError: We are being stopped.
        """
        while True:
            self._check_stopping()
            try:
                return self._executor.submit(call).result(self._patience_seconds)
            except TimeoutError as failure:
                raise _UnansweredError from failure
            except KafkaException as failure:
                if not failure.args[0].retriable():
                    raise
                self._observer.broker_error(failure.args[0].name())
                if time.monotonic() >= give_up_at:
                    raise _UnansweredError from failure

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise _StoppingError
