"""Publishes utterances as any producer would: CloudEvents in binary mode, keyed by conversation, each once."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import KafkaError, KafkaException

from schemas.cloudevents import event_headers, partition_key
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, Utterance
from streams.counting_producer import CountingProducer
from streams.reader import MissingTopicError
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from schemas.settings import Settings
    from streams.privacy.person_keys import PersonKeys

_TYPE = CE_TYPES[Utterance]


class UtteranceProducer(CountingProducer):
    """A producer of the utterances topic, on a broker that has been seen to be there.

    Attributes:
        sealed: How many utterances were; those that name no user are nobody's, and stay plain.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float, keys: PersonKeys | None = None) -> None:
        """Reach the broker.

        Args:
            settings: Where it is.
            timeout_seconds: How long it may stay away before a record counts as not delivered.
            keys: Seal what names its user.

        Raises:
            UnavailableError: It does not answer.
            MissingTopicError: It has no utterances topic.
        """
        super().__init__(settings, timeout_seconds=timeout_seconds)
        self._encoder = msgspec.json.Encoder()
        self._keys = keys
        self.sealed = 0
        self._reach(settings.kafka_servers)

    def publish(self, utterance: Utterance) -> str:
        """Hand over one utterance and return its id; waits while the queue is full.

        Raises:
            UnavailableError: Nothing left the queue for the whole timeout, or a key could not be made.
        """
        if utterance.id is None:
            utterance = msgspec.structs.replace(utterance, id=str(uuid.uuid4()))
        event_id = utterance.id or ""
        if self._keys is not None and utterance.user_id is not None:
            sealed = self._keys.seal(utterance.user_id, utterance.text)
            utterance = msgspec.structs.replace(utterance, text=sealed.text, key_id=sealed.key_id)
            self.sealed += 1
        time_text = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        headers = event_headers(_TYPE, event_id, time_text, None)
        self.send(UTTERANCES, self._encoder.encode(utterance), partition_key(utterance), headers)
        return event_id

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
