"""Keeps more utterances waiting than the workers can answer: `python -m infra.bench.backlog`, until it is ended.

Every text is another, so that no cache knows it.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.cli.session import begin
from models.samples import load_sample_conversations
from streams.clients import client_config, producer_config
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.settings import Settings

_WAITING = 100_000
_BURST = 5_000
_LOOK_SECONDS = 0.2
_CONVERSATIONS, _USERS = 5_003, 997
_NICENESS = 5
"""It must not take from those who are measured; they have enough to do for seconds."""


def main() -> None:
    """Publish for as long as we run."""
    os.nice(_NICENESS)
    settings = begin()
    producer = Producer(producer_config(settings) | {"queue.buffering.max.messages": 4 * _BURST})
    consumer = Consumer(client_config(settings) | {"group.id": settings.worker.group_id, "enable.auto.commit": False})
    utterances = _utterances()
    published = 0
    while True:
        if published - _answered(settings, consumer) >= _WAITING:
            time.sleep(_LOOK_SECONDS)
            continue
        for key, value in itertools.islice(utterances, _BURST):
            producer.produce(UTTERANCES, value, key)
        producer.flush()
        published += _BURST


def _answered(settings: Settings, consumer: Consumer) -> int:
    partitions = [TopicPartition(UTTERANCES, number) for number in range(settings.topics.partitions)]
    return sum(max(0, place.offset) for place in consumer.committed(partitions, timeout=30))


def _utterances() -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values for ever."""
    said = [each.text for conversation in load_sample_conversations() for each in conversation.utterances]
    for number, text in enumerate(itertools.cycle(said)):
        value = {"text": f"{text} ({number})", "user_id": f"user-{number % _USERS}"}
        yield b"conversation-%d" % (number % _CONVERSATIONS), msgspec.json.encode(value)


if __name__ == "__main__":
    main()
