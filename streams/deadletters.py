"""Dead letters taken up again: read, chosen, and sent back to where they came from, byte for byte.

What is replayed says in a header of ours which dead letter it was. Should it fail again, the new dead letter says so,
too, and stands for the old one: however often all of them are replayed, each record is sent once a replay.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from schemas.deadletter import parse_dead_letter, replay_headers, replay_of
from schemas.record_headers import headers_of
from streams.burial import source_of
from streams.counting_producer import CountingProducer
from streams.reader import TopicReader
from streams.topics import CORRECTIONS, CORRECTIONS_AUDIT, DEAD_LETTERS, FLAGS, FLAGS_AUDIT, MODELS, TOPICS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from schemas.events import DeadLetter
    from schemas.settings import Settings

Place = tuple[int, int]
"""A dead letter's partition and offset."""

_Content = int
"""A hash of a dead letter's key and value."""

_OURS = frozenset(topic.name for topic in TOPICS) - {DEAD_LETTERS}
_WRITTEN_IN_TURNS = frozenset({FLAGS, FLAGS_AUDIT, MODELS})
_WRITTEN_BY_THE_GUARD = frozenset({CORRECTIONS, CORRECTIONS_AUDIT})


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

    A dead letter whose replay failed again is left out, for the newer one stands for it, unless its place is named.

    Raises:
        UnavailableError: The broker is away.
        MissingTopicError: There is no dead-letter topic.
    """
    meant: dict[Place, tuple[str, _Content]] = {}
    left: dict[Place, str] = {}
    newer: dict[tuple[Place, _Content], Place] = {}
    for letter in read_dead_letters(settings, Selection()):  # all: the newer one may have failed in another way
        place, content = place_of(letter), hash((letter.key, letter.value))
        if (older := replay_of(letter)) is not None:
            newer[older, content] = place
        if letter not in selection:
            continue
        if obstacle := _obstacle(letter):
            left[place] = obstacle
        else:
            meant[place] = _topic_of(letter), content
    if not selection.places:
        left |= _superseded(meant, newer)
    to_send = {place: topic for place, (topic, _) in meant.items() if place not in left}
    return Plan(places=frozenset(to_send), topics=dict(Counter(to_send.values())), left=left)


def replay(settings: Settings, places: Collection[Place], *, timeout_seconds: float = 30.0) -> Replayed:
    """Send dead letters back to the topic they came from: key, value and headers as they were.

    A header is added that says which dead letter it was. Their keys choose the partitions. The dead letters stay where
    they are until the topic's retention ends; replaying the same places once more sends them once more.

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
            producer.send(_topic_of(letter), letter.value, letter.key, replay_headers(letter))
    producer.finish()
    return Replayed(sent=producer.delivered, failures=dict(producer.failures))


def place_of(letter: DeadLetter) -> Place:
    """Return where a dead letter stands."""
    return letter.position.partition, letter.position.offset


def _superseded(
    meant: Mapping[Place, tuple[str, _Content]], newer: Mapping[tuple[Place, _Content], Place]
) -> dict[Place, str]:
    """Say of which dead letters the replay failed again.

    Only one with the same key and value can say so of another: a header alone anyone can write, and places begin anew
    with a new topic.
    """
    found = {place: newer.get((place, content)) for place, (_, content) in meant.items()}
    return {place: f"it was replayed and failed again as {at[0]}/{at[1]}" for place, at in found.items() if at}


def _obstacle(letter: DeadLetter) -> str | None:
    """Say why a dead letter cannot be sent back, or return None."""
    if letter.source is None:
        return "its headers do not say where it came from"
    if letter.source.topic not in _OURS:
        return f"it came from {letter.source.topic}, which is no topic of ours"
    if letter.source.topic in _WRITTEN_IN_TURNS:
        return "flags are changed with `intentstream flags`: what did not count there never will"
    if letter.source.topic in _WRITTEN_BY_THE_GUARD:
        return "what people's corrections teach is written by the guard alone; send feedback"
    if letter.code == "record_too_large":
        return f"it was too large to be kept here; the original stands at {letter.source}"
    return None


def _topic_of(letter: DeadLetter) -> str:
    return letter.source.topic if letter.source else ""
