"""Sends one utterance and prints its id, which its result will name: `python produce.py "where is my parcel?"`."""

from __future__ import annotations

import json
import os
import sys
import uuid

from confluent_kafka import KafkaError, KafkaException, Message, Producer

producer = Producer(
    {
        "bootstrap.servers": os.environ.get("KAFKA", "localhost:9092"),
        "enable.idempotence": True,  # what is sent again after an error stands there once
        "partitioner": "murmur2_random",  # as in Java and Node: a key has the same partition, whoever sends
    }
)


def delivered(error: KafkaError | None, _message: Message) -> None:
    """Fail where the broker has not taken it: an utterance that nobody knows of is never answered."""
    if error is not None:
        raise KafkaException(error)


utterance = {
    "id": str(uuid.uuid4()),
    "text": sys.argv[1],
    "user_id": "user-7",
    "conversation_id": "conversation-12",
}
producer.produce(
    "intents.utterances.v1",
    key=utterance["conversation_id"],  # what has one key is answered in order
    value=json.dumps(utterance),
    on_delivery=delivered,
)
if producer.flush(30):
    sys.exit("The broker did not take it within 30 seconds.")
print(utterance["id"])
