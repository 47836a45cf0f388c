"""What was said lately: the end of the utterances' topic, as the learner hears it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, TopicPartition

from schemas.cloudevents import decode_utterance
from schemas.errors import InvalidEventError, UnavailableError
from streams.privacy.parts import opening
from streams.reader import Unfinished
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from confluent_kafka import Consumer, Message

    from schemas.cloudevents import OpenText
    from streams.privacy.person_keys import PersonKeys

_FETCH = 500
_POLL_SECONDS = 0.5
_ASK_SECONDS = 10.0
_IDLE_SECONDS = 30.0


def read_traffic(
    new_consumer: Callable[[], Consumer], *, texts: int, max_text_characters: int, keys: PersonKeys | None = None
) -> list[str]:
    """Return the latest texts, as they were said, about as many of each partition; what is no utterance is left out.

    Args:
        new_consumer: Makes a consumer as `streams.clients.evidence_consumer_config` configures it.
        texts: How many records to read, at most.
        max_text_characters: Of a text.
        keys: Open what is sealed; of who is forgotten, nothing is.

    Raises:
        UnavailableError: The broker went away meanwhile.
    """
    if not texts:
        return []
    consumer = new_consumer()
    try:
        places = _last(consumer, texts)
        consumer.assign(places)
        open_text = opening(keys)
        texts_of = (_text_of(record, max_text_characters, open_text) for record in _to_end(consumer, places))
        return [text for text in texts_of if text is not None]
    except KafkaException as failure:
        raise UnavailableError(f"The broker does not tell what was said: {failure.args[0].str()}.") from failure
    finally:
        consumer.close()


def _last(consumer: Consumer, texts: int) -> list[TopicPartition]:
    partitions = sorted(consumer.list_topics(UTTERANCES, _ASK_SECONDS).topics[UTTERANCES].partitions)
    each = max(1, texts // max(1, len(partitions)))
    places = []
    for partition in partitions:
        low, end = consumer.get_watermark_offsets(TopicPartition(UTTERANCES, partition), timeout=_ASK_SECONDS)
        places.append(TopicPartition(UTTERANCES, partition, max(low, end - each)))
    return places


def _to_end(consumer: Consumer, places: list[TopicPartition]) -> Iterator[Message]:
    unfinished, idle = Unfinished(places), 0.0
    while unfinished:
        first = consumer.poll(_POLL_SECONDS)
        idle = idle + _POLL_SECONDS if first is None else 0.0
        if idle > _IDLE_SECONDS:
            raise UnavailableError("The broker stopped answering before what was said was read.")
        if first is not None:
            yield from unfinished.records([first, *consumer.consume(_FETCH, 0)])


def _text_of(record: Message, max_text_characters: int, open_text: OpenText | None) -> str | None:
    value = record.value()
    try:
        received = decode_utterance(
            value.encode() if isinstance(value, str) else value,
            None,
            "traffic",
            max_text_characters=max_text_characters,
            open_text=open_text,
        )
    except InvalidEventError:
        return None  # the intake has buried it
    return received.utterance.text
