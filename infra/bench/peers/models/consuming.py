"""A plain consumer, as one is written by hand: poll, have the texts answered, produce, flush, commit; at least once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Answer = Callable[[Sequence[str]], Sequence[dict[str, Any]]]

_WAIT_SECONDS = 0.05


def consume(broker: str, source: str, sink: str, group: str, *, batch: int, answer: Answer) -> None:
    """Say `ready`, and answer for as long as we run.

    Args:
        broker: Its bootstrap servers.
        source: The topic of utterances.
        sink: The topic of results.
        group: Whose offsets are committed.
        batch: Texts of a turn, at most.
        answer: Gives each text a `label` and a `score`.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
    consumer.subscribe([source])
    print("ready", flush=True)
    while True:
        records = [record for record in consumer.consume(batch, _WAIT_SECONDS) if not record.error()]
        if not records:
            continue
        said = [json.loads(record.value() or b"") for record in records]
        answers = answer([each["text"] for each in said])
        for record, each, given in zip(records, said, answers, strict=True):
            result = {"utterance_id": each["id"], "intent": given["label"], "confidence": given["score"]}
            producer.produce(sink, json.dumps(result).encode(), record.key())
        producer.flush()
        consumer.commit(asynchronous=False)
