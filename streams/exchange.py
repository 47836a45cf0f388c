"""Trades records for answers, exactly once: the consumer, the transactional producer, and the rules between them.

Blocking, and used from two threads: `fetch` and the rebalance callbacks run on one, `commit` on the other. What keeps
them honest:

- A batch carries the epoch it was fetched in. A revocation, an abort or anything else that makes the consumer's
  position doubtful opens a new epoch; batches of older ones are void, and the consumer is rewound to the committed
  offsets before it fetches again.
- A rewind and a transaction exclude each other (`_fence`): a rewind that read the committed offsets while a commit was
  under way once cost 27,639 duplicates of 240,000.
- The group's generation travels with the offsets (KIP-447), so that the broker refuses a worker that has lost its
  partitions without knowing it. It is noted in every rebalance, on the fetching thread: confluent-kafka lets one
  thread at a time call a consumer, and a commit that asked for it waited until a fetch ended, 100 ms on a quiet topic.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from health.logs import describe_fault
from schemas.errors import UnavailableError
from streams.batches import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.batches import Outgoing

_log = structlog.get_logger(__name__)

_CALL_SECONDS = 5.0
"""One blocking call to the broker; it is tried again for as long as the broker says that this may help."""

_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


class ExchangeObserver(Protocol):
    """Who wants to know what happens, for metrics and probes. Called from the exchange's threads; must not block."""

    def fetched(self, records: int) -> None:
        """Count a batch that was fetched."""

    def committed(self, batch: Batch, seconds: float) -> None:
        """Count a batch that was answered; its transaction took so long."""

    def aborted(self, reason: str) -> None:
        """Count a transaction that was taken back."""

    def voided(self, records: int) -> None:
        """Count a batch of an older epoch, to be fetched again."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Show all partitions that are ours now."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class MemberFencedError(UnavailableError):
    """Another live worker uses our id; exactly one of the two may go on."""


class _StoppingError(Exception):
    """The exchange is being stopped; what is under way is left for the next start."""


class Exchange:
    """One consumer and one producer that take batches and commit them with their answers.

    Args:
        new_consumer: Makes the group's consumer: no auto-commit, read_committed, cooperative.
        new_producer: Makes the transactional producer; called again when one has been fenced.
        topics: What to subscribe to.
        drain_seconds: How long a revocation waits for batches in flight.
        observer: Who is told what happens.
    """

    def __init__(
        self,
        *,
        new_consumer: Callable[[], Consumer],
        new_producer: Callable[[], Producer],
        topics: Sequence[str],
        drain_seconds: float,
        observer: ExchangeObserver,
    ) -> None:
        self._new_consumer = new_consumer
        self._new_producer = new_producer
        self._topics = list(topics)
        self._drain_seconds = drain_seconds
        self._observer = observer
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._group: Any = None
        self._epoch = 0
        self._numbering = 0, 0
        self._due = 0
        self._rewind_due = False
        self._failures = 0
        self._fence = threading.Lock()
        self._in_flight = 0
        self._landed = threading.Condition()
        self._stopping = threading.Event()

    def open(self) -> None:
        """Join the group.

        The producer comes first: it ends the transaction that a killed predecessor left open, which would otherwise
        hold back the committed offsets until it times out.

        Raises:
            UnavailableError: The broker refused, or this was stopped before it answered.
        """
        try:
            self._ready_producer()
        except _StoppingError as error:
            raise UnavailableError("Stopped before the broker answered.") from error
        except KafkaException as error:
            raise UnavailableError(f"The broker refused the transactional producer: {error.args[0].str()}") from error
        self._consumer = self._new_consumer()
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def fetch(self, limit: int, idle_seconds: float) -> Batch | None:
        """Return up to `limit` records, as soon as there is one; None when none came for `idle_seconds`.

        Raises:
            MemberFencedError: Another worker has taken our id.
        """
        consumer = self._consumer
        if consumer is None:
            return None
        if self._rewind_due and not self._rewind(consumer):
            self._stopping.wait(_BACKOFF_SECONDS[0])
            return None
        # Read before the records are: whatever opens an epoch while they come makes them void, never the reverse.
        epoch = self._epoch
        messages = consumer.consume(1, idle_seconds)
        if messages and limit > 1:
            messages += consumer.consume(limit - 1, 0)
        records = [message for message in messages if message.error() is None]
        if len(records) != len(messages):
            self._report(message.error() for message in messages)
        if not records:
            return None
        with self._landed:
            self._in_flight += 1
        self._observer.fetched(len(records))
        return Batch(epoch=epoch, number=self._next_number(epoch), records=records, fetched_at=time.time())

    def commit(self, batch: Batch, answers: Iterable[Outgoing]) -> bool:
        """Write the answers and the batch's offsets in one transaction.

        Returns:
            Whether they are committed. If not, the same records will be fetched again.
        """
        committed = False
        try:
            with self._fence:
                if self._is_void(batch):
                    return False
                try:
                    committed = self._transact(batch, answers)
                finally:
                    if committed:
                        self._due += 1
                    else:
                        self._open_epoch()
        finally:
            self._land()
        self._failures = 0 if committed else self._failures + 1
        if self._failures:
            self._stopping.wait(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS)) - 1])
        return committed

    def give_up(self, batch: Batch) -> None:
        """Take a batch that nobody will answer; its records, and all that came after them, will be fetched again."""
        with self._fence:
            if batch.epoch == self._epoch:
                self._observer.voided(len(batch.records))
                self._open_epoch()
        self._land()

    def lag(self) -> dict[tuple[str, int], int]:
        """Return how many records each of our partitions has beyond what was fetched, as far as is known locally."""
        consumer = self._consumer
        if consumer is None:
            return {}
        lag = {}
        for position in consumer.position(consumer.assignment()):
            _, high = consumer.get_watermark_offsets(position, cached=True) or (0, -1)
            if high >= 0 and position.offset >= 0:
                lag[position.topic, position.partition] = max(0, high - position.offset)
        return lag

    def drain(self, seconds: float) -> bool:
        """Wait for the batches in flight; return whether all have landed."""
        with self._landed:
            return self._landed.wait_for(lambda: self._in_flight == 0, seconds)

    def stop(self) -> None:
        """Give up waiting for the broker, from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Close both clients; an open transaction is left to the next start's `init_transactions`."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _next_number(self, epoch: int) -> int:
        """Return how many batches of this epoch were fetched before."""
        last_epoch, fetched = self._numbering
        number = fetched if last_epoch == epoch else 0
        self._numbering = epoch, number + 1
        return number

    def _is_void(self, batch: Batch) -> bool:
        """Return whether a batch must not be committed: it is of an older epoch, or one before it never came.

        The latter would commit offsets beyond records that nobody has answered. Nothing we know of loses a batch
        between fetch and commit; should something do, it costs a rewind and no record.
        """
        if batch.epoch == self._epoch:
            if batch.number == self._due:
                return False
            _log.error("intake_batch_missing", due=self._due, came=batch.number)
            self._open_epoch()
        self._observer.voided(len(batch.records))
        return True

    def _land(self) -> None:
        with self._landed:
            self._in_flight -= 1
            self._landed.notify_all()

    # On the fetching thread, inside `consume`.

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._group = consumer.consumer_group_metadata()
        self._show_assignment(consumer, gone=[])

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let what is in flight land, then make everything older void.

        Always, even if nothing is in flight: records that this very call of `consume` has gathered may belong to a
        partition that is going.
        """
        self._group = consumer.consumer_group_metadata()
        if not self.drain(self._drain_seconds):
            _log.warning("intake_drain_incomplete", partitions=len(partitions))
        self._on_lost(consumer, partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with self._fence:
            self._open_epoch()
        self._show_assignment(consumer, gone=partitions)

    def _show_assignment(self, consumer: Consumer, gone: list[TopicPartition]) -> None:
        leaving = {(partition.topic, partition.partition) for partition in gone}
        ours = [p for p in consumer.assignment() if (p.topic, p.partition) not in leaving]
        _log.info("intake_assignment", partitions=sorted(p.partition for p in ours), revoked=len(gone))
        self._observer.assigned(ours)

    def _open_epoch(self) -> None:
        """Make every batch in flight void, and the next fetch start from the committed offsets."""
        self._epoch += 1
        self._due = 0
        self._rewind_due = True

    def _rewind(self, consumer: Consumer) -> bool:
        """Go back to the committed offsets; return whether that worked."""
        with self._fence:
            try:
                self._group = consumer.consumer_group_metadata()
                committed = consumer.committed(consumer.assignment(), timeout=_CALL_SECONDS)
                for partition in committed:
                    if partition.error is None:
                        consumer.seek(_position(partition))
            except KafkaException as error:
                self._report([error.args[0]])
                return False
            failed = [partition.error for partition in committed if partition.error is not None]
            self._report(failed)
            self._rewind_due = bool(failed)
            return not failed

    def _report(self, errors: Iterable[KafkaError | None]) -> None:
        """Count and log what librdkafka says beside the records.

        Raises:
            MemberFencedError: It cannot go on, because another worker has our id.
        """
        for error in errors:
            if error is None:
                continue
            self._observer.broker_error(error.name())
            _log.warning("intake_broker_error", code=error.name(), detail=error.str())
            if error.fatal() or error.code() == KafkaError.FENCED_INSTANCE_ID:
                raise MemberFencedError(
                    f"The broker has shut this worker out ({error.str()}): another live worker has the same id. "
                    "Give each its own INTENTSTREAM_WORKER__ID."
                )

    # On the committing thread, inside `_fence`.

    def _transact(self, batch: Batch, answers: Iterable[Outgoing]) -> bool:
        begun = time.monotonic()
        try:
            producer = self._ready_producer()
            self._write(producer, batch, answers)
        except KafkaException as failure:
            self._take_back(failure.args[0])
            return False
        except _StoppingError:
            # Whether or not it was committed, the next start's producer settles it before it reads the offsets.
            self._producer = None
            self._observer.aborted("stopping")
            return False
        except Exception as error:  # noqa: BLE001 - the commit's guard: a bug costs a rewind, never an answer or a thread
            self._observer.unexpected("commit")
            _log.error("intake_commit_failed", **describe_fault(error))
            self._take_back(KafkaError(KafkaError._APPLICATION))  # noqa: SLF001 - that is its public name
            return False
        self._observer.committed(batch, time.monotonic() - begun)
        return True

    def _write(self, producer: Producer, batch: Batch, answers: Iterable[Outgoing]) -> None:
        producer.begin_transaction()
        produce = producer.produce
        for topic, value, key, partition, headers in answers:
            while True:
                try:
                    produce(topic, value, key, partition, headers=headers)  # type: ignore[arg-type]  # a list always, of bytes
                    break
                except BufferError:
                    producer.poll(0.05)
                    self._check_stopping()
        group = self._group
        offsets = batch.next_offsets()
        self._persist(lambda: producer.send_offsets_to_transaction(offsets, group, _CALL_SECONDS))
        self._persist(lambda: producer.commit_transaction(_CALL_SECONDS))

    def _persist(self, call: Callable[[], None]) -> None:
        """Make a call again for as long as the broker says that this may help."""
        while True:
            self._check_stopping()
            try:
                return call()
            except KafkaException as failure:
                if not failure.args[0].retriable():
                    raise
                self._observer.broker_error(failure.args[0].name())

    def _take_back(self, error: KafkaError) -> None:
        """Abort the transaction, or drop a producer that has none to abort any more."""
        _log.warning("intake_transaction_aborted", code=error.name(), detail=error.str(), fatal=error.fatal())
        self._observer.aborted(error.name())
        producer, fatal = self._producer, error.fatal()
        if producer is not None and not fatal:
            try:
                self._persist(lambda: producer.abort_transaction(_CALL_SECONDS))
            except KafkaException as failure:
                _log.warning("intake_abort_failed", code=failure.args[0].name(), detail=failure.args[0].str())
            except _StoppingError:
                _log.info("intake_abort_left_to_next_start")
            else:
                return
        self._producer = None

    def _ready_producer(self) -> Producer:
        """Return the producer; after a fence, a new one that has ended whatever its predecessor left open."""
        if self._producer is None:
            producer = self._new_producer()
            self._persist(lambda: producer.init_transactions(_CALL_SECONDS))
            self._producer = producer
        return self._producer

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise _StoppingError


def _position(committed: TopicPartition) -> TopicPartition:
    """Return where to read on: at the committed offset, or from the beginning where nothing was ever committed."""
    offset = committed.offset if committed.offset >= 0 else OFFSET_BEGINNING
    return TopicPartition(committed.topic, committed.partition, offset)
