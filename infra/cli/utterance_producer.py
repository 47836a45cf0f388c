"""Publishes utterances as any producer would: CloudEvents in binary mode, keyed by conversation, each once."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.cloudevents import event_headers, partition_key
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, Utterance
from streams.clients import producer_config
from streams.reader import MissingTopicError
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from confluent_kafka import Message

    from schemas.settings import Settings

_TYPE = CE_TYPES[Utterance]
_QUEUE_SECONDS = 0.1
_PURGE_SECONDS = 2.0


class UtteranceProducer:
    """An idempotent producer of the utterances topic that counts what became of each record.

    Attributes:
        delivered: Records the broker has acknowledged.
        failures: How often each reason kept one from being delivered.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float) -> None:
        """Reach the broker.

        Args:
            settings: Where it is.
            timeout_seconds: How long it may stay away before a record counts as not delivered.

        Raises:
            UnavailableError: It does not answer.
            MissingTopicError: It has no utterances topic.
        """
        self.delivered = 0
        self.failures: Counter[str] = Counter()
        self._timeout_seconds = timeout_seconds
        self._encoder = msgspec.json.Encoder()
        self._producer = Producer(
            producer_config(settings)
            | {
                "message.timeout.ms": max(1, int(timeout_seconds * 1000)),
                "queue.buffering.max.messages": 100_000,
            }
        )
        self._reach(settings.kafka_servers)

    def publish(self, utterance: Utterance) -> str:
        """Hand one utterance to the producer and return its id; waits while the queue is full.

        Raises:
            UnavailableError: Nothing left the queue for the whole timeout.
        """
        if utterance.id is None:
            utterance = msgspec.structs.replace(utterance, id=str(uuid.uuid4()))
        event_id, key, value = utterance.id or "", partition_key(utterance), self._encoder.encode(utterance)
        time_text = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        headers: list[tuple[str, str | bytes | None]] = [*event_headers(_TYPE, event_id, time_text, None)]
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                self._producer.produce(UTTERANCES, value, key, headers=headers, on_delivery=self._on_delivery)
            except BufferError as error:
                if time.monotonic() > deadline:
                    raise UnavailableError("The broker takes nothing more; the queue stayed full.") from error
                self._producer.poll(_QUEUE_SECONDS)
            except KafkaException as error:
                self.failures[error.args[0].str()] += 1  # this record cannot be sent at all: too large, say
                return event_id
            else:
                self._producer.poll(0)
                return event_id

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

    def _reach(self, servers: str) -> None:
        try:
            topic = self._producer.list_topics(UTTERANCES, self._timeout_seconds).topics[UTTERANCES]
        except KafkaException as error:
            raise UnavailableError(
                f"No Kafka broker answers at {servers} ({error.args[0].str()}): start one with `intentstream up`, "
                "or name yours in INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS."
            ) from error
        if topic.error is not None and topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise MissingTopicError(f"There is no topic {UTTERANCES}; create it with `intentstream topics apply`.")

    def _on_delivery(self, error: KafkaError | None, _record: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failures[error.str()] += 1
