"""Trades records for answers, exactly once: the consumer, the transactions, and the rules between them.

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
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from health.lag import Progress
from streams.batches import Batch, last_records, next_offsets
from streams.deliveries import Deliveries
from streams.membership import MemberFencedError, Membership
from streams.transactions import CALL_SECONDS, PATIENCE_SECONDS, CallingThread, Transactions, TransactionsObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from confluent_kafka import Message, Producer

    from health.lag import PartitionLag
    from streams.batches import Outgoing

_log = structlog.get_logger(__name__)

_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


class ExchangeObserver(TransactionsObserver, Protocol):
    """Who wants to know what happens, for metrics and probes. Called from the exchange's threads; must not block."""

    def fetched(self, records: int) -> None:
        """Count a batch that was fetched."""

    def committed(self, batch: Batch, seconds: float) -> None:
        """Count a batch that was answered; its transaction took so long."""

    def voided(self, records: int) -> None:
        """Count a batch of an older epoch, to be fetched again."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Show all partitions that are ours now."""


class Exchange:
    """One consumer and one producer that take batches and commit them with their answers.

    Args:
        new_consumer: Makes the group's consumer: no auto-commit, read_committed, cooperative.
        new_producer: Makes the transactional producer; called again when one has been fenced.
        topics: What to subscribe to.
        drain_seconds: How long a revocation waits for batches in flight.
        session_seconds: How long the group waits for a heartbeat.
        repair: Brings the topics in line, when answers have nowhere to go.
        observer: Who is told what happens.
        patience_seconds: As of `streams.transactions.Transactions`.
        new_executor: Likewise.
        at_least_once: Without transactions (`streams.deliveries.Deliveries`); `new_producer` makes such producers then.
    """

    def __init__(
        self,
        *,
        new_consumer: Callable[[], Consumer],
        new_producer: Callable[[], Producer],
        topics: Sequence[str],
        drain_seconds: float,
        session_seconds: float,
        observer: ExchangeObserver,
        repair: Callable[[], None] = lambda: None,
        patience_seconds: float = PATIENCE_SECONDS,
        new_executor: Callable[[], Executor] = CallingThread,
        at_least_once: bool = False,
    ) -> None:
        self._new_consumer = new_consumer
        self._topics = list(topics)
        self._drain_seconds = drain_seconds
        self._membership = Membership(session_seconds)
        self._observer = observer
        self._stopping = threading.Event()
        self._transactions = (
            Deliveries(
                new_producer,
                repair=repair,
                stopping=self._stopping,
                observer=observer,
                patience_seconds=patience_seconds,
            )
            if at_least_once
            else Transactions(
                new_producer,
                repair=repair,
                stopping=self._stopping,
                observer=observer,
                patience_seconds=patience_seconds,
                new_executor=new_executor,
            )
        )
        self._consumer: Consumer | None = None
        self._group: Any = None
        self._epoch = 0
        self._numbering = 0, 0
        self._due = 0
        self._rewind_due = False
        self._failures = 0
        self._committing_since: float | None = None
        self._fence = threading.Lock()
        self._in_flight = 0
        self._landed = threading.Condition()
        self._progress = Progress()

    def open(self) -> None:
        """Join the group.

        The producer comes first: it ends the transaction that a killed predecessor left open, which would otherwise
        hold back the committed offsets until it times out.

        Raises:
            UnavailableError: The broker refused, or this was stopped before it answered.
        """
        self._transactions.open()
        self._join()

    def fetch(self, limit: int, idle_seconds: float) -> Batch | None:
        """Return up to `limit` records, as soon as there is one; None when none came for `idle_seconds`.

        Raises:
            MemberFencedError: Another worker has taken our id.
        """
        consumer = self._consumer
        if consumer is None:
            return None
        self._commit_arrived(consumer, asynchronous=True)
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
            try:
                self._report(message.error() for message in messages if not _is_end(message))
            except MemberFencedError as error:
                self._rejoin(consumer, error)
                return None
        if not records:
            return None
        with self._landed:
            self._in_flight += 1
        self._observer.fetched(len(records))
        last = last_records(records)
        for place, record in last.items():
            self._progress.fetched(place, (record.offset() or 0) + 1)
        return Batch(epoch=epoch, number=self._next_number(epoch), records=records, fetched_at=time.time(), last=last)

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
                begun = self._committing_since = time.monotonic()
                try:
                    committed = self._transactions.commit(answers, next_offsets(batch.last), self._group)
                finally:
                    self._committing_since = None
                    if committed:
                        self._due += batch.count
                        self._note_progress(batch.last)
                    else:
                        self._open_epoch()
        finally:
            self._land(batch)
        if committed:
            self._failures = 0
            self._observer.committed(batch, time.monotonic() - begun)
        else:
            self._failures += 1
            self._stopping.wait(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS)) - 1])
        return committed

    def give_up(self, batch: Batch) -> None:
        """Take a batch that nobody will answer; its records, and all that came after them, will be fetched again."""
        with self._fence:
            if batch.epoch == self._epoch:
                self._observer.voided(len(batch.records))
                self._open_epoch()
        self._land(batch)

    def lag(self) -> dict[tuple[str, int], PartitionLag]:
        """Return how far each of our partitions is behind its end, as far as is known locally."""
        consumer = self._consumer
        if consumer is None:
            return {}
        known = {}
        for position in consumer.position(consumer.assignment()):
            _, high = consumer.get_watermark_offsets(position, cached=True) or (0, -1)
            if high >= 0 and position.offset >= 0:
                known[position.topic, position.partition] = position.offset, high
        return self._progress.lag(known)

    def committing_seconds(self) -> float:
        """Return how long the transaction under way has been so; 0 if there is none. From any thread."""
        since = self._committing_since
        return 0.0 if since is None else time.monotonic() - since

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
            self._commit_arrived(self._consumer, asynchronous=False)
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

    def _note_progress(self, last: Mapping[tuple[str, int], Message]) -> None:
        for place, record in last.items():
            self._progress.committed(place, (record.offset() or 0) + 1, record.timestamp()[1])

    def _land(self, batch: Batch) -> None:
        with self._landed:
            self._in_flight -= batch.count
            self._landed.notify_all()

    def _join(self) -> None:
        self._consumer = self._new_consumer()
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _rejoin(self, shut_out: Consumer, error: MemberFencedError) -> None:
        """Take our place in the group back.

        Raises:
            MemberFencedError: The one given, if another live worker has it.
        """
        self._membership.take_back(error)
        _log.warning("intake_rejoining")
        with self._fence:
            self._open_epoch()
        shut_out.close()
        self._join()

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
        self._commit_arrived(consumer, asynchronous=False)
        self._on_lost(consumer, partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with self._fence:
            self._open_epoch()
            self._transactions.arrived()  # to commit them is another's now
            self._progress.forget((partition.topic, partition.partition) for partition in partitions)
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

    def _commit_arrived(self, consumer: Consumer, *, asynchronous: bool) -> None:
        """Commit what no transaction has; where that fails, answers come again, and the next commit makes up for it."""
        offsets = self._transactions.arrived()
        if not offsets:
            return
        try:
            consumer.commit(offsets=offsets, asynchronous=asynchronous)  # type: ignore[call-overload]  # one overload a value
        except KafkaException as failure:
            self._observer.broker_error(failure.args[0].name())
            _log.warning("intake_offsets_not_committed", code=failure.args[0].name(), detail=failure.args[0].str())

    def _rewind(self, consumer: Consumer) -> bool:
        """Go back to the committed offsets; return whether that worked."""
        with self._fence:
            try:
                self._group = consumer.consumer_group_metadata()
                self._commit_arrived(consumer, asynchronous=False)
                committed = consumer.committed(consumer.assignment(), timeout=CALL_SECONDS)
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
            self._membership.check(error)


def _is_end(message: Message) -> bool:
    """Return whether it stands for the end of a partition, which moves the position behind what is no record there."""
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - that is its public name


def _position(committed: TopicPartition) -> TopicPartition:
    """Return where to read on: at the committed offset, or from the beginning where nothing was ever committed."""
    offset = committed.offset if committed.offset >= 0 else OFFSET_BEGINNING
    return TopicPartition(committed.topic, committed.partition, offset)
