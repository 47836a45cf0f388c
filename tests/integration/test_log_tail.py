"""A log is followed whatever its broker and the consumer do: what stands there is read, if need be all over again."""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic

from flags.admin import admin_client
from flags.clients import follower_config
from flags.log_tail import LogTail
from infra.chaos.freezing import frozen
from tests.kit.brokers import running_broker
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from confluent_kafka import Message

    from infra.embedded.server import EmbeddedServer

STUCK_SECONDS = 2.0

_quiet = logging.getLogger("tests.librdkafka")
_quiet.setLevel(logging.CRITICAL)  # brokers stall here on purpose


class MutableConsumer(Consumer):
    """Brings nothing any more once it was muted, as librdkafka's does when a partition of it is stuck."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.muted = False

    def poll(self, timeout: float = -1) -> Message | None:
        message = super().poll(timeout)
        return None if self.muted else message


class Log:
    """A log of a test's own, who listens to it, and what was heard since its beginning was expected last."""

    def __init__(self, broker: str) -> None:
        client = {"bootstrap.servers": broker, "logger": _quiet, "reconnect.backoff.max.ms": 500}
        self._topic = f"log-{uuid.uuid4().hex[:8]}"
        self._producer = Producer(client)
        self._config = follower_config(client)
        self.consumers: list[MutableConsumer] = []
        self.heard: list[bytes | str | None] = []
        admin = admin_client({"bootstrap.servers": broker, "logger": _quiet})
        admin.create_topics([NewTopic(self._topic, 1, 1)])[self._topic].result(20)
        self.tail = LogTail(
            "log-follower",
            new_consumer=self._new_consumer,
            admin=admin,
            topic=self._topic,
            listener=self,
            observer=self,
            check_seconds=0.2,
            stuck_seconds=STUCK_SECONDS,
        )

    def write(self, value: bytes) -> None:
        self._producer.produce(self._topic, value)
        assert self._producer.flush(60) == 0

    def began(self) -> None:
        self.heard = []

    def came(self, records: Sequence[Message], *, at_end: bool) -> None:
        assert records or at_end
        self.heard = [*self.heard, *(record.value() for record in records)]

    def idled(self) -> None:
        """Nothing is due."""

    def broker_error(self, code: str) -> None:
        assert code

    def unexpected(self, guard: str) -> None:
        raise AssertionError(guard)

    def _new_consumer(self) -> Consumer:
        self.consumers.append(MutableConsumer(self._config))
        return self.consumers[-1]


@contextmanager
def followed_log(broker: str) -> Iterator[Log]:
    """A log with one record, which has been heard."""
    log = Log(broker)
    log.tail.start()
    try:
        log.write(b"first")
        wait_until(lambda: log.heard == [b"first"], "the first record is heard")
        yield log
    finally:
        assert log.tail.stop(20)


def test_a_consumer_that_brings_nothing_although_there_is_more_is_replaced(kafka: EmbeddedServer) -> None:
    with followed_log(kafka.endpoint) as log:
        muted = log.consumers[-1]
        muted.muted = True
        log.write(b"second")
        wait_until(lambda: log.heard == [b"first", b"second"], "all is heard, from the beginning")
        assert log.consumers[-1] is not muted


def test_a_consumer_to_which_nothing_is_left_to_bring_stays(kafka: EmbeddedServer) -> None:
    with followed_log(kafka.endpoint) as log:
        quiet, quiet_since = log.consumers[-1], time.monotonic()
        wait_until(lambda: log.tail.end.asked_at > quiet_since + 2 * STUCK_SECONDS, "it has been quiet for long")
        assert log.consumers[-1] is quiet


def test_a_broker_that_says_nothing_makes_no_consumer_stuck_and_is_heard_again(tmp_path: Path) -> None:
    with running_broker(tmp_path / "broker") as broker, followed_log(broker.endpoint) as log:
        with frozen(broker):
            waiting, since = log.consumers[-1], time.monotonic()
            wait_until(lambda: time.monotonic() > since + 2 * STUCK_SECONDS, "it has been frozen for long")
            assert log.consumers[-1] is waiting
        log.write(b"second")
        wait_until(lambda: log.heard == [b"first", b"second"], "what is said after the thaw is heard")
