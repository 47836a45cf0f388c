"""An exchange between fakes: a broker that fails on demand, as no real one can be made to at the right moment."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, cast

from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_CREATE_TIME, KafkaError, KafkaException, TopicPartition

from streams.batches import Batch, Outgoing
from streams.exchange import Exchange
from streams.transactions import PATIENCE_SECONDS, CallingThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

TOPIC = "utterances"
ANSWERS = [Outgoing("results", b"answer", b"key", 0)]
WAIT_SECONDS = 5.0


class Record:
    """A record, or an error in a record's place."""

    def __init__(self, offset: int, error: KafkaError | None = None) -> None:
        self._offset, self._error = offset, error

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, 1_000 + self._offset

    def error(self) -> KafkaError | None:
        return self._error


class Broker:
    """One partition of utterances, its committed offset, and all clients that were ever made.

    Attributes:
        faults: By call, what it raises next, one after another; a function is called instead.
        calls: All calls, in order.
        answers: Committed answers.
        committed: The offset to read on from.
    """

    def __init__(self, records: int) -> None:
        self.end = records
        self.faults: defaultdict[str, deque[KafkaError | Callable[[], object]]] = defaultdict(deque)
        self.calls: list[str] = []
        self.answers: list[Outgoing] = []
        self.committed = -1001
        self.producers = 0

    def called(self, call: str) -> None:
        self.calls.append(call)
        fault = self.faults[call].popleft() if self.faults[call] else None
        if isinstance(fault, KafkaError):
            raise KafkaException(fault)
        if fault is not None:
            fault()


class FakeConsumer:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._position = 0
        self.assigned = [TopicPartition(TOPIC, 0)]
        self.inside: deque[Callable[[], None] | KafkaError] = deque()

    def subscribe(self, _topics: list[str], **callbacks: Callable[..., None]) -> None:
        self._broker.called("subscribe")
        self.callbacks = callbacks

    def consume(self, limit: int, _timeout: float) -> list[Record]:
        gathered = range(self._position, min(self._position + limit, self._broker.end))
        self._position = gathered.stop
        records = [Record(offset) for offset in gathered]
        if self.inside:
            happens = self.inside.popleft()
            if isinstance(happens, KafkaError):
                return [*records, Record(-1, happens)]
            happens()
        return records

    def revoke(self) -> None:
        self.callbacks["on_revoke"](self, self.assigned)

    def lose(self) -> None:
        self.callbacks["on_lost"](self, self.assigned)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        self._broker.called("committed")
        return [TopicPartition(place.topic, place.partition, self._broker.committed) for place in partitions]

    def seek(self, place: TopicPartition) -> None:
        self._broker.called("seek")
        self._position = 0 if place.offset == OFFSET_BEGINNING else place.offset

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> None:
        self._broker.called("commit_offsets" if asynchronous else "commit_offsets_and_wait")
        self._broker.committed = offsets[0].offset

    def assignment(self) -> list[TopicPartition]:
        return self.assigned

    def consumer_group_metadata(self) -> object:
        self._broker.called("group")
        return object()

    def close(self) -> None:
        self._broker.called("close")


class FakeProducer:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._open: list[Outgoing] = []
        self._offset = 0
        broker.producers += 1

    def init_transactions(self, _timeout: float) -> None:
        self._broker.called("init_transactions")

    def begin_transaction(self) -> None:
        self._broker.called("begin_transaction")
        self._open = []

    def produce(
        self, topic: str, value: bytes, key: bytes, partition: int, *, headers: Any, on_delivery: Any = None
    ) -> None:
        self._broker.called("produce")
        self._open.append(Outgoing(topic, value, key, partition, headers))
        self._on_delivery = on_delivery

    def flush(self, _timeout: float) -> int:
        """Deliver what was produced, unless the broker fails: it refuses, or is away and acknowledges nothing."""
        try:
            self._broker.called("flush")
        except KafkaException as failure:
            if failure.args[0].retriable():
                return len(self._open)
            self._on_delivery(failure.args[0], None)
            return 0
        self._broker.answers += self._open
        self._open = []
        return 0

    def purge(self) -> None:
        self._broker.called("purge")

    def poll(self, _timeout: float) -> None:
        self._broker.called("poll")

    def send_offsets_to_transaction(self, offsets: Sequence[TopicPartition], _group: object, _timeout: float) -> None:
        self._broker.called("send_offsets")
        self._offset = offsets[0].offset

    def commit_transaction(self, _timeout: float) -> None:
        self._broker.called("commit")
        self._broker.answers += self._open
        self._broker.committed = self._offset

    def abort_transaction(self, _timeout: float) -> None:
        self._broker.called("abort")


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.voids: list[int] = []
        self.aborts: list[str] = []

    def fetched(self, records: int) -> None: ...

    def committed(self, batch: Batch, seconds: float) -> None: ...

    def aborted(self, reason: str) -> None:
        self.aborts.append(reason)

    def voided(self, records: int) -> None:
        self.voids.append(records)

    def assigned(self, partitions: Sequence[TopicPartition]) -> None: ...

    def broker_error(self, code: str) -> None: ...

    def unexpected(self, guard: str) -> None: ...


class Bench:
    """An exchange between fakes."""

    def __init__(
        self,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        new_executor: Callable[[], Executor] = CallingThread,
        at_least_once: bool = False,
    ) -> None:
        self.broker = Broker(records=100)
        self.consumer = FakeConsumer(self.broker)
        self.seen = Seen()
        self.exchange = Exchange(
            new_consumer=lambda: cast("Any", self.consumer),
            new_producer=lambda: cast("Any", FakeProducer(self.broker)),
            topics=[TOPIC],
            drain_seconds=WAIT_SECONDS,
            session_seconds=6.0,
            repair=lambda: self.broker.called("repair"),
            observer=self.seen,
            patience_seconds=patience_seconds,
            new_executor=new_executor,
            at_least_once=at_least_once,
        )

    def fetch(self) -> Batch:
        """Fetch ten records, rewinding first where that is due."""
        batch = self.exchange.fetch(10, 0)
        assert batch is not None
        return batch

    def commit(self, batch: Batch) -> bool:
        return self.exchange.commit(batch, ANSWERS)
