"""How the tiers did lately: their latency, their last failure, and who answered how much.

Counted once a turn at a batch; percentiles are computed when somebody asks, of what a bounded memory holds. Who asks is
a probe, on the event loop: so that memory is of arrays, which are looked through without Python's help.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from schemas.events import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from schemas.events import Attempt

_UNASKED = frozenset({Outcome.OPEN, Outcome.UNAVAILABLE})
"""Turns that never came to a call: they say nothing of how long one takes."""

_FAILURES = frozenset({Outcome.TIMEOUT, Outcome.FAILED})


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Of a tier's calls.

    Attributes:
        calls: How many it is computed from.
        p50_seconds: Half of them took no longer.
        p95_seconds: 95 of 100 took no longer.
        p99_seconds: 99 of 100 took no longer.
    """

    calls: int
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A call that brought no answer.

    Attributes:
        outcome: How it ended.
        reason: Why, for a person; never a user's text.
        at: When.
    """

    outcome: Outcome
    reason: str | None
    at: dt.datetime


class RecentTurns:
    """Remembers the last minutes. Safe to call from any thread.

    Args:
        window_seconds: What is older does not count.
        most: How many calls of a tier, and how many batches that it answered in, are remembered at most.
        clock: Unix time in seconds.
    """

    def __init__(
        self, *, window_seconds: float = 300.0, most: int = 2_000, clock: Callable[[], float] = time.time
    ) -> None:
        self.window_seconds = window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: defaultdict[str, _Ring] = defaultdict(lambda: _Ring(most))
        self._failures: dict[str, Failure] = {}
        self._answered: defaultdict[str, _Ring] = defaultdict(lambda: _Ring(most))

    def turned(self, attempt: Attempt) -> None:
        """Take note of a tier's turn at a batch."""
        if attempt.outcome in _UNASKED:
            return
        now = self._clock()
        with self._lock:
            self._calls[attempt.tier].add(now, attempt.seconds)
            if attempt.outcome in _FAILURES:
                at = dt.datetime.fromtimestamp(now, dt.UTC)
                self._failures[attempt.tier] = Failure(outcome=attempt.outcome, reason=attempt.reason, at=at)

    def answered(self, tier: str, utterances: int) -> None:
        """Take note of how many utterances of a batch have a tier's answer, remembered ones included."""
        with self._lock:
            self._answered[tier].add(self._clock(), utterances)

    def latency(self, tier: str) -> Latency | None:
        """Return how long a tier's calls took; None if there was none lately."""
        since = self._clock() - self.window_seconds
        with self._lock:
            seconds = self._calls[tier].values(since)
        if not len(seconds):
            return None
        # What np.percentile says, in a quarter of the time.
        places = np.array((0.50, 0.95, 0.99)) * (len(seconds) - 1)
        p50, p95, p99 = np.interp(places, np.arange(len(seconds)), np.sort(seconds)).tolist()
        return Latency(calls=len(seconds), p50_seconds=p50, p95_seconds=p95, p99_seconds=p99)

    def failure(self, tier: str) -> Failure | None:
        """Return a tier's last failure, however long ago; None if there never was one."""
        with self._lock:
            return self._failures.get(tier)

    def mix(self) -> Mapping[str, float]:
        """Return which share of the utterances each tier answered lately, the largest first."""
        since = self._clock() - self.window_seconds
        with self._lock:
            counts = {tier: float(ring.values(since).sum()) for tier, ring in self._answered.items()}
        total = sum(counts.values())
        shares = {tier: count / total for tier, count in counts.items() if count}
        return dict(sorted(shares.items(), key=lambda share: -share[1]))


class _Ring:
    """The last so many values, and when each came."""

    def __init__(self, most: int) -> None:
        self._times = np.full(most, -np.inf)
        self._values = np.zeros(most)
        self._next = 0

    def add(self, at: float, value: float) -> None:
        """Remember a value in the place of the oldest."""
        self._times[self._next], self._values[self._next] = at, value
        self._next = (self._next + 1) % len(self._values)

    def values(self, since: float) -> npt.NDArray[np.float64]:
        """Return those that came at a time or after it, in no order."""
        return self._values[self._times >= since]
