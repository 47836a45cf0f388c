"""Reads what was answered in a stretch of time, and what it answered: results do not repeat the text.

A result tells where its utterance stands. Both are read in portions, so that a stretch may be longer than memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice, pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from schemas.cloudevents import UNSEALABLE, decode_utterance
from schemas.errors import InvalidEventError
from schemas.events import Result, Source
from schemas.record_headers import headers_of
from streams.burial import source_of
from streams.privacy.parts import opening
from streams.topics import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from confluent_kafka import Message

    from schemas.cloudevents import OpenText, Received
    from streams.past.search import PastReader
    from streams.privacy.person_keys import PersonKeys

OF_HTTP, GONE, FORGOTTEN, UNREADABLE = "of_http", "utterance_gone", "text_forgotten", "unreadable"
"""Why a result cannot be replayed: it answers no record, retention has taken the record, its text is sealed and cannot
be opened any more, or it is no result."""

_PORTION = 4_096
"""Results whose utterances are looked up together."""

_WORTH_A_SEEK = 2_000
"""Records; what is closer to each other is read in one go, with what lies between."""

_MOST_CHARACTERS = 1_000_000
"""Whatever the limit was when it was answered."""

_results = msgspec.json.Decoder(Result)


class Answered(NamedTuple):
    """An utterance and how it was answered.

    Attributes:
        result: As it was written.
        received: What it answers.
        key: Of the result's record.
        at: When it was written, Unix time.
    """

    result: Result
    received: Received
    key: bytes | None
    at: float


class Stretch:
    """The results that were written from one moment until before another, by their records' timestamps.

    Args:
        results: Reads them.
        utterances: Reads what they answer; another one, for both are read by turns.
        begin: Unix time.
        end: Likewise.
        keys: Open what is sealed.

    Attributes:
        seen: How many records of the results' topic were read.
        left_out: How many of them cannot be replayed, by why.
    """

    def __init__(
        self, results: PastReader, utterances: PastReader, begin: float, end: float, keys: PersonKeys | None = None
    ) -> None:
        self._keys = keys
        self._sealed: set[Source] = set()
        self._results = results
        self._utterances = utterances
        self._begin, self._end = begin, end
        self.seen = 0
        self.left_out: Counter[str] = Counter()

    def portions(self) -> Iterator[list[Answered]]:
        """Yield what can be replayed, partition by partition, in order.

        Raises:
            UnavailableError: The broker went away.
        """
        for partition in self._results.partitions(RESULTS):
            span = self._results.span(RESULTS, partition, self._begin, self._end)
            records = self._results.records(RESULTS, partition, *span)
            while portion := list(islice(records, _PORTION)):
                yield self._answered(portion)

    def _answered(self, records: Sequence[Message]) -> list[Answered]:
        read = [(record, self._read(record)) for record in records]
        self.seen += len(read)
        there = [(record, result) for record, result in read if result is not None]
        said = self._said([result.source for _, result in there if result.source is not None])
        answered = []
        for record, result in there:
            received = None if result.source is None else said.get(result.source)
            if result.source is None:
                self.left_out[OF_HTTP] += 1
            elif result.source in self._sealed:
                self.left_out[FORGOTTEN] += 1
            elif received is None or received.utterance.id != result.utterance_id:  # or another one stands there now
                self.left_out[GONE] += 1
            else:
                answered.append(Answered(result, received, _bytes(record.key()), record.timestamp()[1] / 1000))
        return answered

    def _read(self, record: Message) -> Result | None:
        try:
            return _results.decode(record.value() or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.left_out[UNREADABLE] += 1
            return None

    def _said(self, places: Sequence[Source]) -> dict[Source, Received]:
        """Return the utterances that still stand where results say they stood."""
        self._sealed.clear()
        offsets: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        for place in places:
            offsets[place.topic, place.partition].add(place.offset)
        said: dict[Source, Received] = {}
        for (topic, partition), wanted in offsets.items():
            if partition in self._utterances.partitions(topic):
                said |= self._said_on(topic, partition, wanted)
        return said

    def _said_on(self, topic: str, partition: int, wanted: set[int]) -> dict[Source, Received]:
        low, end = self._utterances.bounds(topic, partition)
        said, open_text = {}, opening(self._keys)
        for start, last in _runs(sorted(offset for offset in wanted if low <= offset < end)):
            for record in self._utterances.records(topic, partition, start, last + 1):
                if record.offset() not in wanted:
                    continue
                received = _utterance(record, open_text)
                if isinstance(received, InvalidEventError):
                    if received.code in UNSEALABLE:
                        self._sealed.add(source_of(record))
                else:
                    said[source_of(record)] = received
        return said


def _utterance(record: Message, open_text: OpenText | None) -> Received | InvalidEventError:
    """Return an utterance, or why it is none: another record stands there now, or its text cannot be opened."""
    try:
        return decode_utterance(
            record.value(),
            headers_of(record),
            source_of(record),
            max_text_characters=_MOST_CHARACTERS,
            open_text=open_text,
        )
    except InvalidEventError as fault:
        return fault


def _runs(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of those that are worth reading in one go."""
    if not offsets:
        return
    start = offsets[0]
    for offset, following in pairwise(offsets):
        if following - offset > _WORTH_A_SEEK:
            yield start, offset
            start = following
    yield start, offsets[-1]


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
