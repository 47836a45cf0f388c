"""Puts utterances on a broker: all of them, once each, whatever the broker does meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Producer

from infra.background import Background
from infra.chaos.utterances import Record, our_texts, utterances
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from confluent_kafka import KafkaError, Message

__all__ = ["Record", "Stream", "our_texts", "publish", "utterances"]

_MOST_BYTES = 100 * 1024 * 1024


def publish(broker: str, records: Iterable[Record], **config: object) -> int:
    """Publish records, each once, and return how many when the broker has them all."""
    producer = Producer(
        {
            "bootstrap.servers": broker,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": _MOST_BYTES,
            "linger.ms": 5,
            **config,
        }
    )
    count = 0
    faults: list[str] = []

    def note(error: KafkaError | None, _record: Message) -> None:
        if error is not None:
            faults.append(error.str())

    for value, key, headers in records:
        while True:
            try:
                producer.produce(
                    UTTERANCES,
                    value,
                    key,
                    headers=list(headers),
                    on_delivery=note,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        count += 1
    assert producer.flush(300) == 0
    assert not faults, faults[:3]
    return count


class Stream(Background):
    """Publishes records beside the test, at a steady rate, however the broker fares. Leaving it stops it."""

    def __init__(self, broker: str, records: Iterable[Record], *, per_second: float) -> None:
        super().__init__("stream")
        self.published = 0
        self.error: BaseException | None = None
        self._broker = broker
        self._records = self._paced(records, per_second)

    def finish(self) -> int:
        """Wait until all is published; return how many that were."""
        self.join()
        if self.error:
            raise self.error
        return self.published

    def run(self) -> None:
        try:
            self.published = publish(self._broker, self._records)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for us
            self.error = error

    def _paced(self, records: Iterable[Record], per_second: float) -> Iterator[Record]:
        burst = max(1, int(per_second / 20))
        for number, record in enumerate(records):
            if number % burst == 0 and self.ending.wait(burst / per_second):
                return
            yield record
