"""Workers as others see them: a presence and a roster each, on a topic of a test's own, without what they work on."""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic

from flags.admin import admin_client
from flags.clients import follower_config
from flags.log_reader import LogReader
from schemas.events import Presence
from streams.fleet.presence import PresencePublisher
from streams.fleet.workers import BEATS, Workers
from streams.results import timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flags.log_reader import Record

_quiet = logging.getLogger("tests.librdkafka")
_quiet.setLevel(logging.CRITICAL)  # brokers go away here on purpose


class Counts:
    """What was counted."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.guards: list[str] = []
        self.refused = 0

    def broker_error(self, code: str) -> None:
        self.errors.append(code)

    def presence_refused(self) -> None:
        self.refused += 1

    def unexpected(self, guard: str) -> None:
        self.guards.append(guard)


class Colleague:
    """One worker.

    Attributes:
        revision: Of the flags that it says it has applied.
        workers: What it knows of the others.
    """

    def __init__(self, topic: WorkersTopic, worker_id: str, every_seconds: float) -> None:
        self.revision = 0
        self.counts = Counts()
        self.acknowledged: list[float] = []
        self._worker_id = worker_id
        self._every_seconds = every_seconds
        self._started_at = timestamp(time.time())
        self.publisher = PresencePublisher(
            new_producer=topic.producer,
            topic=topic.name,
            worker_id=worker_id,
            describe=self._describe,
            acknowledged=self.acknowledged.append,
            observer=self.counts,
            clock=time.monotonic,
            every_seconds=every_seconds,
        )
        self.workers = Workers(
            worker_id=worker_id,
            started_at=self._started_at,
            publisher=self.publisher,
            new_consumer=lambda: Consumer(follower_config(topic.client)),
            admin=topic.admin,
            topic=topic.name,
            observer=self.counts,
            every_seconds=every_seconds,
        )

    def apply(self, revision: int) -> None:
        """Say that a revision is applied."""
        self.revision = revision
        self.publisher.announce()

    def knows(self) -> set[str]:
        """Return whom it believes alive."""
        return set(self.workers.live())

    def _describe(self) -> Presence:
        return Presence(
            worker_id=self._worker_id,
            flags_revision=self.revision,
            started_at=self._started_at,
            seen_at=timestamp(time.time()),
            expires_seconds=BEATS * self._every_seconds,
        )


class WorkersTopic:
    """A topic of presences."""

    def __init__(self, broker: str) -> None:
        self.name = f"workers-{uuid.uuid4().hex[:8]}"
        self.client: dict[str, Any] = {"bootstrap.servers": broker, "logger": _quiet, "reconnect.backoff.max.ms": 500}
        self.admin = admin_client({"bootstrap.servers": broker, "logger": _quiet})
        topic = NewTopic(self.name, 1, 1, config={"cleanup.policy": "compact"})
        self.admin.create_topics([topic])[self.name].result(20)

    @asynccontextmanager
    async def colleague(self, worker_id: str, *, every_seconds: float = 0.5) -> AsyncIterator[Colleague]:
        """Have a worker there."""
        colleague = Colleague(self, worker_id, every_seconds)
        await colleague.workers.on_start()
        colleague.publisher.start()
        try:
            yield colleague
        finally:
            await colleague.workers.on_stop()

    def producer(self) -> Producer:
        """Return a producer as workers have them."""
        return Producer(self.client | {"enable.idempotence": True, "linger.ms": 0, "message.timeout.ms": 1_000})

    def write_by_hand(self, worker_id: str, presence: Presence | bytes | None, *, timestamp_ms: int = 0) -> None:
        """Write a record that no worker wrote; one that is no worker's is never refreshed."""
        value = msgspec.json.encode(presence) if isinstance(presence, Presence) else presence
        producer = Producer(self.client)
        producer.produce(self.name, value, worker_id, 0, timestamp=timestamp_ms)
        assert producer.flush(20) == 0

    def records(self) -> list[Record]:
        """Return what stands there."""
        consumer = Consumer(follower_config(self.client))
        try:
            reader = LogReader(consumer, self.name)
            return list(reader.read(*reader.bounds()))
        finally:
            consumer.close()


def stranger(worker_id: str, *, revision: int, expires_seconds: float) -> Presence:
    """Return the presence of a worker that will not be heard of again."""
    return Presence(
        worker_id=worker_id,
        flags_revision=revision,
        started_at="1",
        seen_at="1",
        expires_seconds=expires_seconds,
    )
