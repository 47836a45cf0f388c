"""Prints every result, one a line, until Ctrl-C: `python consume.py`."""

from __future__ import annotations

import json
import os
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException

consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("KAFKA", "localhost:9092"),
        "group.id": os.environ.get("GROUP", "results-in-python"),
        "isolation.level": "read_committed",  # otherwise answers are seen that were taken back
        "auto.offset.reset": "earliest",
        "enable.auto.offset.store": False,  # we say ourselves what is done
    }
)
consumer.subscribe(["intents.results.v1"])
try:
    with suppress(KeyboardInterrupt):
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            result = json.loads(message.value())
            intent = result["intent"] or "out of scope"  # null is an answer, too
            print(result["utterance_id"], intent, f"{result['confidence']:.2f}", result["tier"], flush=True)
            consumer.store_offsets(message)  # only now; if we end before, it comes again
finally:
    consumer.close()
