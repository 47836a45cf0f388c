"""Watches the topics while `intentstream up` runs: what came in, what was answered, by whom, how fast."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from infra.cli.arrivals import Arrivals
from schemas.events import Result
from streams.clients import admin_client
from streams.reader import TopicReader
from streams.topics import DEAD_LETTERS, RESULTS, UTTERANCES

if TYPE_CHECKING:
    from types import TracebackType

    from confluent_kafka import Message

    from schemas.settings import Settings

_LATENCIES = 1_000

_results = msgspec.json.Decoder(Result)


class Counts(NamedTuple):
    """What happened since the watch began.

    Attributes:
        utterances: Records that arrived on the utterances topic, by its offsets.
        results: Results, committed.
        tiers: Results by the tier that answered.
        degraded: Results for which a tier that should have answered could not.
        dead_letters: Records that could not be processed.
        p50_ms: From an utterance's timestamp to its result in our hands, over the latest results.
        p95_ms: Likewise.
    """

    utterances: int
    results: int
    tiers: dict[str, int]
    degraded: int
    dead_letters: int
    p50_ms: float
    p95_ms: float


class Watch:
    """Follows results and dead letters from their end. Use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        """Stand at the end of the topics.

        Raises:
            UnavailableError: The broker is away.
            MissingTopicError: A topic is missing.
        """
        self._reader = TopicReader(settings, [RESULTS, DEAD_LETTERS], start="end")
        self._arrivals = Arrivals(admin_client(settings), UTTERANCES)
        self._tiers: Counter[str] = Counter()
        self._degraded = self._dead_letters = 0
        self._latencies_ms: deque[float] = deque(maxlen=_LATENCIES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    def read(self, seconds: float) -> list[Result]:
        """Wait for so long at most, and return the results that came."""
        records = self._reader.read(seconds)
        results = []
        for record in records:
            if record.topic() == DEAD_LETTERS:
                self._dead_letters += 1
            elif result := _decode(record):
                results.append(result)
                self._tiers[result.tier] += 1
                self._degraded += result.degraded
                self._latencies_ms.append(_latency_ms(result, record))
        self._arrivals.count()
        return results

    def counts(self) -> Counts:
        """Return what happened so far."""
        latencies = sorted(self._latencies_ms) or [0.0]
        results = sum(self._tiers.values())
        return Counts(
            # The offsets are asked for every now and then; what is answered has certainly arrived.
            utterances=max(self._arrivals.counted, results + self._dead_letters),
            results=results,
            tiers=dict(self._tiers.most_common()),
            degraded=self._degraded,
            dead_letters=self._dead_letters,
            p50_ms=latencies[len(latencies) // 2],
            p95_ms=latencies[len(latencies) * 95 // 100],
        )


def _decode(record: Message) -> Result | None:
    """Return a result; None if somebody else wrote to the topic what is none."""
    try:
        return _results.decode(record.value() or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _latency_ms(result: Result, record: Message) -> float:
    """Return how long an utterance took from its timestamp to its result in our hands."""
    since_written = time.time() - record.timestamp()[1] / 1000
    return 1000 * (result.timings.queue_seconds + result.timings.classify_seconds + max(0.0, since_written))
