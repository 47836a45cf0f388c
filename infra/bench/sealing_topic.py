"""Reads utterances back, and counts the bytes that it takes to receive them."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import Consumer, TopicPartition

from flags.clients import reader_config
from schemas.errors import UnavailableError
from streams.clients import client_config
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from confluent_kafka import Message

    from schemas.settings import Settings

_READ_SECONDS = 60.0
_POLL_SECONDS = 0.1
_COUNT_MS = 50
_WHOLE = {"max.partition.fetch.bytes": 256_000_000, "fetch.max.bytes": 256_000_000}
"""A fetch brings all there is: a batch of which one brings a part is brought again by the next."""


class _Server(msgspec.Struct):
    rxbytes: int


class _Statistics(msgspec.Struct):
    """What we ask of librdkafka's statistics."""

    brokers: dict[str, _Server]


class _Received:
    """How many bytes a client has received, as its statistics tell from time to time."""

    def __init__(self) -> None:
        self.bytes = self.told = 0

    def tell(self, statistics: str) -> None:
        """Take what librdkafka says; called while its client is polled."""
        brokers = msgspec.json.decode(statistics, type=_Statistics).brokers
        self.bytes = sum(broker.rxbytes for broker in brokers.values())
        self.told += 1


def read_back(settings: Settings, *, last: int) -> tuple[list[Message], int]:
    """Return the last so many records of the only partition, and the bytes that were received for them.

    Raises:
        UnavailableError: They do not come.
    """
    received, deadline = _Received(), time.monotonic() + _READ_SECONDS
    config = reader_config(client_config(settings)) | _WHOLE
    with closing(Consumer(config | {"statistics.interval.ms": _COUNT_MS, "stats_cb": received.tell})) as consumer:
        _, end = consumer.get_watermark_offsets(TopicPartition(UTTERANCES, 0), timeout=_READ_SECONDS)
        consumer.assign([TopicPartition(UTTERANCES, 0, end - last)])
        came: list[Message] = []
        while len(came) < last:
            came += [each for each in consumer.consume(last, _POLL_SECONDS) if each.error() is None]
            if time.monotonic() > deadline:
                raise UnavailableError("The broker does not give back what it took; the run is void.")
        told = received.told
        while received.told < told + 2:  # one may have been counted a moment too early
            consumer.poll(_POLL_SECONDS)
    return came, received.bytes
