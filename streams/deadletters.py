"""Dead letters taken up again: read, chosen, and sent back to where they came from, byte for byte."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from schemas.deadletter import parse_dead_letter
from streams.classify import headers_of, source_of
from streams.counting_producer import CountingProducer
from streams.reader import TopicReader
from streams.topics import DEAD_LETTERS, TOPICS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from schemas.events import DeadLetter
    from schemas.settings import Settings

Place = tuple[int, int]
"""A dead letter's partition and offset."""

_OURS = frozenset(topic.name for topic in TOPICS) - {DEAD_LETTERS}


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant; each condition left out is met by all.

    Attributes:
        codes: Kinds of fault.
        places: Partition and offset in the dead-letter topic.
    """

    codes: frozenset[str] = frozenset()
    places: frozenset[Place] = frozenset()

    def __contains__(self, letter: DeadLetter) -> bool:
        return (not self.codes or letter.code in self.codes) and (not self.places or place_of(letter) in self.places)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would send.

    Attributes:
        places: The dead letters to send.
        topics: How many go to each topic.
        left: Why the others that were meant cannot be sent, by place.
    """

    places: frozenset[Place]
    topics: Mapping[str, int]
    left: Mapping[Place, str]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay did.

    Attributes:
        sent: Records the broker acknowledged.
        failures: How often each reason kept one from being sent.
    """

    sent: int
    failures: Mapping[str, int]


def read_dead_letters(settings: Settings, selection: Selection) -> Iterator[DeadLetter]:
    """Yield the dead letters there are now, in order within a partition.

    Raises:
        UnavailableError: The broker is away.
        MissingTopicError: There is no dead-letter topic.
    """
    with TopicReader(settings, [DEAD_LETTERS], start="beginning") as reader:
        for record in reader.read_to_end():
            letter = parse_dead_letter(source_of(record), record.key(), record.value(), headers_of(record))
            if letter in selection:
                yield letter


def plan_replay(settings: Settings, selection: Selection) -> Plan:
    """Find out what a replay would send; sends nothing.

    Raises:
        UnavailableError: The broker is away.
        MissingTopicError: There is no dead-letter topic.
    """
    places, left, topics = set(), {}, Counter[str]()
    for letter in read_dead_letters(settings, selection):
        if obstacle := _obstacle(letter):
            left[place_of(letter)] = obstacle
        else:
            places.add(place_of(letter))
            topics[_topic_of(letter)] += 1
    return Plan(places=frozenset(places), topics=dict(topics), left=left)


def replay(settings: Settings, places: Collection[Place], *, timeout_seconds: float = 30.0) -> Replayed:
    """Send dead letters back to the topic they came from: key, value and headers as they were.

    Their keys choose the partitions. The dead letters stay where they are until the topic's retention ends; replaying
    them once more sends them once more.

    Args:
        settings: Where the broker is.
        places: Those that a plan named.
        timeout_seconds: How long the broker may stay away before a record counts as not sent.

    Raises:
        UnavailableError: The broker is away.
        MissingTopicError: There is no dead-letter topic.
    """
    if not places:
        return Replayed(sent=0, failures={})
    producer = CountingProducer(settings, timeout_seconds=timeout_seconds)
    for letter in read_dead_letters(settings, Selection(places=frozenset(places))):
        if not _obstacle(letter):
            producer.send(_topic_of(letter), letter.value, letter.key, letter.headers)
    producer.finish()
    return Replayed(sent=producer.delivered, failures=dict(producer.failures))


def place_of(letter: DeadLetter) -> Place:
    """Return where a dead letter stands."""
    return letter.position.partition, letter.position.offset


def _obstacle(letter: DeadLetter) -> str | None:
    """Say why a dead letter cannot be sent back, or return None."""
    if letter.source is None:
        return "its headers do not say where it came from"
    if letter.source.topic not in _OURS:
        return f"it came from {letter.source.topic}, which is no topic of ours"
    if letter.code == "record_too_large":
        return f"it was too large to be kept here; the original stands at {letter.source}"
    return None


def _topic_of(letter: DeadLetter) -> str:
    return letter.source.topic if letter.source else ""
