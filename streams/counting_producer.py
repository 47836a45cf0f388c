"""Produces many records whose fates are counted, not awaited one by one: what a person publishes or replays."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.errors import UnavailableError
from streams.clients import producer_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message

    from schemas.settings import Settings

_QUEUE_RECORDS = 100_000
_QUEUE_SECONDS = 0.1
_PURGE_SECONDS = 2.0


class CountingProducer:
    """An idempotent producer that counts what became of each record.

    Attributes:
        delivered: Records the broker has acknowledged.
        failures: How often each reason kept one from being delivered.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float) -> None:
        """Make the producer; it connects by itself.

        Args:
            settings: Where the broker is.
            timeout_seconds: How long it may stay away before a record counts as not delivered.
        """
        self.delivered = 0
        self.failures: Counter[str] = Counter()
        self._timeout_seconds = timeout_seconds
        self._producer = Producer(
            producer_config(settings)
            | {
                "message.timeout.ms": max(1, int(timeout_seconds * 1000)),
                "queue.buffering.max.messages": _QUEUE_RECORDS,
            }
        )

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: str | bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> None:
        """Hand over one record; waits while the queue is full.

        Raises:
            UnavailableError: Nothing left the queue for the whole timeout.
        """
        copied: list[tuple[str, str | bytes | None]] = [*headers]
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                self._producer.produce(topic, value, key, headers=copied, on_delivery=self._on_delivery)
            except BufferError as error:
                if time.monotonic() > deadline:
                    raise UnavailableError("The broker takes nothing more; the queue stayed full.") from error
                self._producer.poll(_QUEUE_SECONDS)
            except KafkaException as error:
                self.failures[error.args[0].str()] += 1  # this record cannot be sent at all: too large, say
                return
            else:
                self._producer.poll(0)
                return

    def wait(self, seconds: float) -> None:
        """Let time pass while deliveries are counted."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._producer.poll(min(left, _QUEUE_SECONDS))

    def finish(self) -> None:
        """Wait until every record was delivered or has failed."""
        self._producer.flush(self._timeout_seconds + _PURGE_SECONDS)

    def abandon(self) -> None:
        """Drop what is still queued; what is on its way is waited for briefly."""
        self._producer.purge(in_flight=False)
        self._producer.flush(_PURGE_SECONDS)

    def _on_delivery(self, error: KafkaError | None, _record: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failures[error.str()] += 1
