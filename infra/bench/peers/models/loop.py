"""A plain consumer that answers with transformers' pipeline: poll, classify, produce, commit; at least once.

Takes BROKER, SOURCE, SINK, GROUP, BATCH (texts at most), THREADS, LABELS (how many) and RELEASE (a folder, or nothing);
says `ready` once the model is loaded, and runs until it is ended.
"""

from __future__ import annotations

import json
import logging
import sys

import torch
from confluent_kafka import Consumer, Producer
from network import open_pipeline  # type: ignore[import-not-found]  # beside this script

_WAIT_SECONDS = 0.05


def main(broker: str, source: str, sink: str, group: str, *model: str) -> None:
    """Answer for as long as we run."""
    batch, threads, labels = map(int, model[:3])
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    pipeline = open_pipeline(model[3] or None, labels)
    pipeline(["hello"] * batch, batch_size=batch)
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
        answers = pipeline([each["text"] for each in said], batch_size=batch, truncation=True)
        for record, each, answer in zip(records, said, answers, strict=True):
            result = {"utterance_id": each["id"], "intent": answer["label"], "confidence": answer["score"]}
            producer.produce(sink, json.dumps(result).encode(), record.key())
        producer.flush()
        consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
