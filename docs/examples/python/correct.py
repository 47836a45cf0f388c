"""Says what an utterance's intent really is, on the feedback topic.

`python correct.py UTTERANCE_ID "could somebody phone me" talk_to_agent agent-3`
"""

from __future__ import annotations

import json
import os
import sys
import uuid

from confluent_kafka import KafkaError, KafkaException, Message, Producer

producer = Producer(
    {
        "bootstrap.servers": os.environ.get("KAFKA", "localhost:9092"),
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
    }
)


def delivered(error: KafkaError | None, _message: Message) -> None:
    """Fail where the broker has not taken it."""
    if error is not None:
        raise KafkaException(error)


utterance_id, text, intent, person = sys.argv[1:]
correction = {
    "utterance_id": utterance_id,
    "text": text,  # results do not repeat it, and nothing is learnt without it
    "intent": intent,
    "person_id": person,  # corrections count by distinct people
}
producer.produce(
    "intents.feedback.v1",
    key=utterance_id,
    value=json.dumps(correction),
    headers={
        "ce_specversion": "1.0",
        "ce_type": "intentstream.correction.v1",  # confirmations and review requests stand on this topic, too
        "ce_id": str(uuid.uuid4()),
        "ce_source": "/examples/python",
        "content-type": "application/json",
    },
    on_delivery=delivered,
)
if producer.flush(30):
    sys.exit("The broker did not take it within 30 seconds.")
