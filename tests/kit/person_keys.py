"""People's keys on a broker of a test's own, and a look at what stands on the log as anybody may take it."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from schemas.errors import UnavailableError
from schemas.events import PersonKey
from schemas.privacy import Privacy
from schemas.record_headers import headers_of
from schemas.server_settings import Kafka
from schemas.settings import Settings, Worker
from streams.privacy.key_ring import KeyRing
from streams.privacy.sealing import KeyId, MasterKey, new_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from schemas.cloudevents import OpenText
    from streams.privacy.sealing import Sealed

_READ_SECONDS = 60.0


def master_key_file(folder: Path) -> Path:
    """Write a new master key, and return where."""
    file = folder / "master.key"
    file.write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    return file


def sealing_settings(broker: str, file: Path, worker_id: str = "one") -> Settings:
    """Return the settings of somebody who seals."""
    return Settings(
        kafka=Kafka(bootstrap_servers=broker), privacy=Privacy(master_key_file=file), worker=Worker(id=worker_id)
    )


def everything(broker: str, *, topics: set[str] | None = None) -> list[bytes]:
    """Return every key, value and header on a broker, also what no reader of committed records sees."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "spy",
            "enable.partition.eof": True,
            "isolation.level": "read_uncommitted",
        }
    )
    try:
        there = consumer.list_topics(timeout=_READ_SECONDS).topics
        places = [
            TopicPartition(name, partition, OFFSET_BEGINNING)
            for name, topic in there.items()
            if topics is None or name in topics
            for partition in topic.partitions
        ]
        consumer.assign(places)
        left, found = {(place.topic, place.partition) for place in places}, []
        while left:
            message = consumer.poll(_READ_SECONDS)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                left.discard((message.topic() or "", message.partition() or 0))
                continue
            headers = [value for _, value in headers_of(message) or ()]
            found += [part for part in (message.key(), message.value(), *headers) if isinstance(part, bytes)]
        return found
    finally:
        consumer.close()


class RingOfKeys:
    """Keys without a broker: whoever has none is given one, unless nobody can be.

    Attributes:
        ring: What is known of them.
        away: Whether no key can be made.
    """

    def __init__(self) -> None:
        self._master = MasterKey(os.urandom(32))
        self.ring = KeyRing(self._master)
        self.away = False

    def opening(self) -> OpenText:
        return self.ring.open

    def seal(self, person_id: str, text: str) -> Sealed:
        return self.seal_all([(person_id, text)])[0]

    def seal_all(self, said: Sequence[tuple[str, str]]) -> list[Sealed]:
        if self.away:
            raise UnavailableError("The broker is away.")
        return [self._seal(self._master.name(person_id), text) for person_id, text in said]

    def destroy(self, person_id: str) -> None:
        name = self._master.name(person_id)
        self.ring.apply(name, PersonKey(generation=self.ring.latest(name)[0], changed_at=""))

    def _seal(self, name: bytes, text: str) -> Sealed:
        generation, is_live = self.ring.latest(name)
        if not is_live:
            key_id = KeyId(name, generation + 1)
            record = PersonKey(
                generation=key_id.generation, wrapped=self._master.wrap(key_id, new_key()), changed_at=""
            )
            self.ring.apply(name, record)
        sealed = self.ring.seal(name, text)
        assert sealed is not None
        return sealed
