"""A consumer and a transactional producer as confluent-kafka's are, in front of the simulated broker.

They keep librdkafka's rules: what was fenced stays so, a transaction with an error is good for nothing but an abort, a
commit of unknown outcome may be asked for again, callbacks come inside `consume`, on the thread that calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import OFFSET_INVALID, TIMESTAMP_CREATE_TIME, KafkaError, KafkaException, TopicPartition

from infra.simulation.group import Member
from infra.simulation.log import INPUT, FencedError, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.simulation.faults import Faults
    from infra.simulation.group import Group, Membership
    from infra.simulation.log import Entry, Log, Transaction
    from infra.simulation.world import Process, World

_LEAST_SECONDS, _MOST_SECONDS = 0.0005, 0.01


class Record:
    """A record, or an error in a record's place."""

    def __init__(self, partition: int, offset: int, entry: Entry | None, error: KafkaError | None = None) -> None:
        self._partition, self._offset, self._entry, self._error = partition, offset, entry, error

    def topic(self) -> str:
        """Return where it stands."""
        return INPUT

    def partition(self) -> int:
        """Return where it stands."""
        return self._partition

    def offset(self) -> int:
        """Return where it stands."""
        return self._offset

    def error(self) -> KafkaError | None:
        """Return what stands here instead."""
        return self._error

    def key(self) -> bytes | None:
        """Return its key."""
        return None if self._entry is None else self._entry.key

    def value(self) -> bytes | None:
        """Return its value."""
        return None if self._entry is None else self._entry.value

    def timestamp(self) -> tuple[int, int]:
        """Return when it was made, in milliseconds."""
        return TIMESTAMP_CREATE_TIME, 0 if self._entry is None else self._entry.timestamp_ms


class Place(NamedTuple):
    """A partition's offset, or why it is not known."""

    topic: str
    partition: int
    offset: int
    error: KafkaError | None


class Broker:
    """What a process reaches: the log, the group, and what may go wrong on the way.

    Args:
        world: Time and chance.
        log: Of all topics.
        group: Of all consumers.
        process: Whose clients these are.
        faults: Drawn at each call.
    """

    def __init__(self, world: World, log: Log, group: Group, process: Process, faults: Faults) -> None:
        self.world = world
        self.log = log
        self.group = group
        self.process = process
        self.faults = faults

    def travel(self) -> None:
        """Take a call's time, on the way to the broker or back; the process may die on either."""
        self.process.check()
        self.faults.maybe_crash()
        self.world.pause(_LEAST_SECONDS, _MOST_SECONDS)
        self.process.check()


class SimulatedConsumer:
    """A member of the group.

    Args:
        broker: What it reaches.
        instance: Its `group.instance.id`.
    """

    def __init__(self, broker: Broker, instance: str) -> None:
        self._broker = broker
        self._member = Member(instance, broker.process)
        self._positions: dict[int, int | None] = {}
        self._callbacks: dict[str, Callable[..., None]] = {}

    def subscribe(self, _topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        """Join the group."""
        self._callbacks = callbacks
        self._broker.group.join(self._member)

    def consume(self, limit: int, seconds: float) -> list[Record]:
        """Return records as soon as there are some; callbacks are called on the way."""
        world = self._broker.world
        deadline = world.now + seconds
        while True:
            self._broker.process.check()
            # What is gathered already may belong to a partition that goes while the rest is waited for.
            records = self._gather(limit) if self._member.pending and world.happens(0.5) else []
            self._call_back()
            records += self._gather(limit - len(records))
            if error := self._shut_out() or self._broker.faults.beside_records():
                return [*records, Record(0, -1, None, error)]
            if records or world.now >= deadline:
                return records
            world.block(self._broker.log.changed, deadline - world.now)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Begin to read; where, is not known yet."""
        self._positions.update({each.partition: None for each in partitions})

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[Place]:
        """Return the group's offsets, once no transaction may change them any more."""
        broker = self._broker
        broker.travel()
        broker.faults.maybe_retriable()
        deadline = broker.world.now + timeout
        while not all(broker.log.is_stable(each.partition) for each in partitions):
            if broker.world.now >= deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "unstable offsets", retriable=True))  # noqa: SLF001 - its public name
            broker.world.block(broker.log.changed, deadline - broker.world.now)
        found = [
            Place(each.topic, each.partition, broker.log.committed.get(each.partition, OFFSET_INVALID), None)
            for each in partitions
        ]
        broker.travel()
        return [each._replace(error=broker.faults.beside_answers()) for each in found]

    def seek(self, place: TopicPartition) -> None:
        """Read on from elsewhere."""
        self._broker.faults.maybe_odd()
        if place.partition not in self._positions:
            raise KafkaException(KafkaError(KafkaError._STATE, "not assigned"))  # noqa: SLF001 - its public name
        self._positions[place.partition] = max(0, place.offset)

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Return what is read next."""
        return [_offset_of(each, self._positions.get(each.partition)) for each in partitions]

    def assignment(self) -> list[TopicPartition]:
        """Return what is read."""
        return [TopicPartition(INPUT, partition) for partition in sorted(self._positions)]

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool) -> tuple[int, int]:
        """Return where the log begins and ends."""
        assert cached  # noqa: S101 - nothing else is simulated
        return 0, len(self._broker.log.input[place.partition])

    def consumer_group_metadata(self) -> Membership:
        """Return who it is now."""
        return self._member.metadata()

    def close(self) -> None:
        """Leave; a static member does so silently, and keeps its place for a session."""
        self._positions.clear()
        self._member.left = True
        self._broker.world.loop.call_later(6.0, self._broker.group.leave, self._member)

    def _call_back(self) -> None:
        while self._member.pending:
            rebalance = self._member.pending[0]
            places = [TopicPartition(INPUT, partition) for partition in sorted(rebalance.partitions)]
            self._callbacks[f"on_{rebalance.kind}"](self, places)
            if rebalance.kind != "assign":
                for place in places:
                    self._positions.pop(place.partition, None)
            if self._member.pending and self._member.pending[0] is rebalance:
                del self._member.pending[0]
            self._broker.group.told(self._member, rebalance)

    def _gather(self, limit: int) -> list[Record]:
        log, records = self._broker.log, list[Record]()
        if self._broker.world.now < self._broker.faults.away_until or self._member.shut_out:
            return records
        places = sorted(self._positions)
        begin = self._broker.world.chance.randrange(len(places)) if places else 0
        for partition in places[begin:] + places[:begin]:
            position = self._positions[partition]
            if position is None:
                if not log.is_stable(partition):
                    continue
                position = log.committed.get(partition, 0)
            entries = log.input[partition]
            while position < len(entries) and len(records) < limit:
                entry = entries[position]
                if entry is not None:
                    records.append(Record(partition, position, entry))
                position += 1
            self._positions[partition] = position
        return records

    def _shut_out(self) -> KafkaError | None:
        if not self._member.shut_out:
            return None
        return KafkaError(KafkaError.FENCED_INSTANCE_ID, "another has its id")


class SimulatedProducer:
    """A transactional producer.

    Args:
        broker: What it reaches.
        name: Its `transactional.id`.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        self._broker = broker
        self._name = name
        self._epoch = -1
        self._transaction: Transaction | None = None
        self._fatal: KafkaError | None = None
        self._must_abort: KafkaError | None = None
        self._ended: bool | None = None
        self._knows_partitions = not broker.log.missing_partition

    def init_transactions(self, _timeout: float) -> None:
        """End what a predecessor left, and fence it."""
        self._broker.travel()
        self._broker.faults.maybe_retriable()
        self._epoch = self._broker.log.begin_epoch(self._name)
        self._broker.travel()
        self._broker.faults.maybe_retriable()

    def begin_transaction(self) -> None:
        """Begin; the broker hears of it with the first record."""
        self._check(begun=False)
        self._guarded(lambda: self._broker.log.begin(self._name, self._epoch))
        self._ended = None

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,  # noqa: ARG002 - as the real one's
        partition: int,
        headers: object = None,  # noqa: ARG002 - as the real one's
    ) -> None:
        """Write a record, as part of the transaction."""
        transaction = self._check()
        self._broker.process.check()
        self._broker.faults.maybe_crash()
        self._broker.faults.maybe_full()
        if not self._knows_partitions:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION, "not yet"))  # noqa: SLF001 - its public name
        written = Written(topic, max(0, partition), value)
        self._guarded(lambda: self._broker.log.write(self._name, self._epoch, transaction, written))

    def poll(self, seconds: float) -> None:
        """Wait for room."""
        self._broker.process.check()
        self._broker.world.pause(0, seconds)
        self._broker.process.check()

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], group: Membership, _timeout: float
    ) -> None:
        """Have offsets belong to the transaction, if the group's coordinator still knows the member as it is."""
        transaction = self._check()
        self._call_abortable()
        if (refusal := self._broker.group.refusal(group)) is not None:
            self._must_abort = KafkaError(refusal, "refused", txn_requires_abort=True)
            raise KafkaException(self._must_abort)
        places = {each.partition: each.offset for each in offsets}
        self._guarded(lambda: self._broker.log.add_offsets(self._name, self._epoch, transaction, places))
        self._broker.travel()
        self._broker.faults.maybe_retriable()

    def commit_transaction(self, _timeout: float) -> None:
        """Commit; where that is not answered, it may have been done."""
        transaction = self._check()
        if self._ended is None:
            self._call_abortable()
        self._end(transaction, commit=True)

    def abort_transaction(self, _timeout: float) -> None:
        """Abort; likewise."""
        transaction = self._check(aborting=True)
        self._broker.travel()
        self._broker.faults.maybe_retriable()
        self._end(transaction, commit=False)
        self._must_abort = None

    def purge(self) -> None:
        """Forget what was not sent: nothing, for here everything is sent at once."""

    def _end(self, transaction: Transaction, *, commit: bool) -> None:
        self._guarded(lambda: self._broker.log.end(self._name, self._epoch, transaction, commit=commit))
        self._ended = commit
        self._broker.travel()
        self._broker.faults.maybe_retriable()
        self._transaction = None

    def _call_abortable(self) -> None:
        self._broker.travel()
        self._broker.faults.maybe_retriable()
        try:
            self._broker.faults.maybe_abortable()
        except KafkaException as failure:
            self._must_abort = failure.args[0]
            raise

    def _check(self, *, begun: bool = True, aborting: bool = False) -> Any:
        """Return the transaction; refuse what librdkafka would."""
        if self._fatal is not None:
            raise KafkaException(self._fatal)
        if self._must_abort is not None and not aborting:
            raise KafkaException(self._must_abort)
        if begun is (self._transaction is None) or (aborting and self._ended):
            raise KafkaException(KafkaError(KafkaError._STATE, "no such transaction"))  # noqa: SLF001 - its public name
        return self._transaction

    def _guarded(self, call: Callable[[], Any]) -> None:
        """Make a call to the transactions' coordinator; a producer whose epoch is over is of no use any more."""
        try:
            begun = call()
        except FencedError:
            self._fatal = KafkaError(KafkaError._FENCED, "another has its id, or it took too long", fatal=True)  # noqa: SLF001 - its public name
            raise KafkaException(self._fatal) from None
        if self._transaction is None:
            self._transaction = begun


def _offset_of(place: TopicPartition, offset: int | None) -> TopicPartition:
    return TopicPartition(place.topic, place.partition, OFFSET_INVALID if offset is None else offset)
