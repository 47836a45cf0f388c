"""What producers say while things break: utterances at a rate that can be changed, and now and then poison."""

from __future__ import annotations

import itertools
import logging
from random import Random
from typing import TYPE_CHECKING

from confluent_kafka import Producer

from infra.background import Background
from infra.chaos.poison import small_kinds
from infra.chaos.utterances import Record, utterances
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka import KafkaError, Message

_TICK_SECONDS = 0.05
_MOST = 10**9
_POISON_SHARE = 0.01
_FLUSH_SECONDS = 60.0

_quiet = logging.getLogger("intentstream.chaos.librdkafka")
_quiet.setLevel(logging.CRITICAL)  # the broker goes away on purpose


class Load(Background):
    """Publishes beside the faults, on a thread of its own. Use as a context manager; leaving waits for the broker.

    Args:
        broker: Its bootstrap servers; not by way of a proxy, for what never arrives is nobody's to answer.
        per_second: How many, as long as nobody says otherwise.
        seed: Of what is poison, and of what kind.
        texts: What is said; ours, if not given.

    Attributes:
        per_second: As given.
        acknowledged: How many the broker has said it has.
        refused: How many it did not take in time.
    """

    def __init__(self, broker: str, *, per_second: float, seed: int, texts: Iterable[str] | None = None) -> None:
        super().__init__("chaos-load")
        self.acknowledged = 0
        self.refused = 0
        self.per_second = per_second
        self._times = 1.0
        self._chance = Random(seed)  # noqa: S311 - keeps no secret
        self._poison = itertools.cycle(small_kinds())
        self._doses = 0
        self._good = utterances(_MOST, texts)
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.max.bytes": 2 * 1024 * 1024,
                "logger": _quiet,
            }
        )

    def stop(self) -> None:
        """Say nothing more, and wait for the broker to have what was said."""
        super().stop()
        self.refused += self._producer.flush(_FLUSH_SECONDS)

    def speed_up(self, times: float) -> None:
        """Publish so many times as much from now on; 1: as at first."""
        self._times = times

    def poison(self, records: int) -> None:
        """Publish so many records that are no utterances, at once."""
        self._doses += records

    def run(self) -> None:
        """Publish, as much as is due."""
        due = 0.0
        while not self.ending.wait(_TICK_SECONDS):
            due += self.per_second * self._times * _TICK_SECONDS
            doses, self._doses = self._doses, 0
            for _ in range(doses):
                self._publish(next(self._poison))
            while due >= 1:
                due -= 1
                self._publish(next(self._poison if self._chance.random() < _POISON_SHARE else self._good))
            self._producer.poll(0)

    def _publish(self, record: Record) -> None:
        try:
            self._producer.produce(
                UTTERANCES, record.value, record.key, headers=list(record.headers), on_delivery=self._delivered
            )
        except BufferError:  # the broker is away for so long that no more can wait for it
            self.refused += 1

    def _delivered(self, error: KafkaError | None, _record: Message) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.refused += 1
