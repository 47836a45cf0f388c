"""Utterances to put on a broker: texts of ours, ids of their own, keyed by conversation."""

from __future__ import annotations

import itertools
import json
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

from confluent_kafka import Producer

from models.catalogue import default_catalogue_path, load_catalogue
from models.samples import load_sample_conversations
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from confluent_kafka import KafkaError, Message

_CONVERSATION = 7
_MOST_BYTES = 100 * 1024 * 1024


class Record(NamedTuple):
    """What a producer sends."""

    value: bytes | None
    key: bytes | str | None
    headers: Sequence[tuple[str, bytes | str | None]] = ()


def our_texts() -> list[str]:
    """Return every example of the default catalogue, and every sample utterance."""
    catalogue = load_catalogue(default_catalogue_path())
    examples = [example for intent in catalogue.intents for example in intent.examples]
    said = [said.text for conversation in load_sample_conversations() for said in conversation.utterances]
    return [*examples, *catalogue.out_of_scope, *said]


def utterances(count: int, texts: Sequence[str] | None = None) -> Iterator[Record]:
    """Yield utterances with distinct ids; every other one is a CloudEvent in binary mode."""
    said = itertools.cycle(texts or our_texts())
    for number, text in zip(range(count), said, strict=False):
        conversation = f"conversation-{number // _CONVERSATION}"
        event = {"text": text, "user_id": f"user-{number % 997}", "conversation_id": conversation}
        if number % 2:
            yield Record(json.dumps(event | {"id": f"utterance-{number}"}).encode(), conversation)
        else:
            attributes = [("ce_id", f"utterance-{number}"), ("ce_type", "intentstream.utterance.v1")]
            attributes += [("ce_specversion", "1.0"), ("ce_source", "test"), ("content-type", "application/json")]
            yield Record(json.dumps(event).encode(), conversation, attributes)


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


class Stream:
    """Publishes records beside the test, at a steady rate, however the broker fares. Leaving it stops it."""

    def __init__(self, broker: str, records: Iterable[Record], *, per_second: float) -> None:
        self.published = 0
        self.error: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(broker, self._paced(records, per_second)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def finish(self) -> int:
        """Wait until all is published; return how many that were."""
        self._thread.join()
        if self.error:
            raise self.error
        return self.published

    def _run(self, broker: str, records: Iterable[Record]) -> None:
        try:
            self.published = publish(broker, records)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for us
            self.error = error

    def _paced(self, records: Iterable[Record], per_second: float) -> Iterator[Record]:
        burst = max(1, int(per_second / 20))
        for number, record in enumerate(records):
            if number % burst == 0 and self._stopped.wait(burst / per_second):
                return
            yield record
