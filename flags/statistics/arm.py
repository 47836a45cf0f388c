"""What one arm of a comparison has seen, counted so that the order in which it was read does not matter.

Whoever reads the log again, from other partitions first or in two halves that are merged, comes to the same numbers.
Users are what chance assigns, so what happens is kept by user: how often, and when for the first time.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import mmh3
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]

RATES = ("error_rate", "degraded_rate", "correction_rate")
"""The metrics that are events a user meets with or not."""

GROUPS = 64
"""Users, and seconds, are dealt into so many groups; the spread between groups is what chance does."""

SLICE_SECONDS = 0.1
"""What happens within one slice may have one cause: a batch that failed as a whole, answered at one moment."""

BINS_PER_E_FOLD = 20
_SHORTEST_SECONDS = 1e-4
_BINS = 340
"""Of 5 % each: 0.1 ms to 40 minutes."""

_SLICES_A_SECOND = round(1 / SLICE_SECONDS)

_NEVER = np.iinfo(np.int64).max
_PENDING = 4_096
_CORRECTED = RATES.index("correction_rate")


class Incidents(NamedTuple):
    """Whom an event has met, for one metric.

    Attributes:
        events: How often, shape (users,).
        first_slice: In which slice of time for the first time, shape (users,); the largest int64 is never.
        hashes: Of the users, shape (users,); they say nothing about arms.
    """

    events: Counts
    first_slice: Counts
    hashes: Counts


class Tally(NamedTuple):
    """Sums of the utterances of each group.

    Attributes:
        utterances: Shape (groups,).
        cost_seconds: Shape (groups,).
        latencies: How many took how long, shape (groups, bins).
    """

    utterances: Counts
    cost_seconds: npt.NDArray[np.float64]
    latencies: Counts


class Arm:
    """One arm's counts. Not safe to use from several threads. About 200 bytes a user."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._hashes = np.zeros(0, np.int64)
        self._events = np.zeros((len(RATES), 0), np.int64)
        self._first = np.full((len(RATES), 0), _NEVER)
        self._by_user = _empty_tally()
        self._by_time = _empty_tally()
        self._pending: list[tuple[int, int, int, float, bool, bool]] = []
        self._corrections: list[tuple[int, int]] = []

    @property
    def users(self) -> int:
        """Return how many different users it has seen."""
        return len(self._rows)

    @property
    def utterances(self) -> int:
        """Return how many utterances it has seen."""
        self._settle()
        return int(self._by_user.utterances.sum())

    def add(
        self,
        user_id: str,
        *,
        at_seconds: float,
        latency_seconds: float,
        cost_seconds: float = 0.0,
        failed: bool = False,
        degraded: bool = False,
    ) -> None:
        """Count one utterance's result.

        Args:
            user_id: Who said it.
            at_seconds: When it was answered, Unix time.
            latency_seconds: How long the user waited.
            cost_seconds: Its share of the tiers' time.
            failed: Whether a tier failed at it or ran out of time.
            degraded: Whether a tier that should have answered could not.
        """
        row = self._row(user_id)
        outcome = (row, _slice(at_seconds), latency_bin(latency_seconds), cost_seconds, failed, degraded)
        self._pending.append(outcome)
        if len(self._pending) >= _PENDING:
            self._settle()

    def correct(self, user_id: str, *, at_seconds: float) -> None:
        """Count that people corrected one of a user's answers; each answer once, which is the caller's to see to."""
        self._corrections.append((self._row(user_id), _slice(at_seconds)))

    def merge(self, other: Arm) -> None:
        """Count what another has counted, too; the other stays as it is. A user of both is one user."""
        self._settle()
        other._settle()
        rows = np.fromiter((self._row(user) for user in other._rows), np.int64, len(other._rows))
        self._grow()
        self._events[:, rows] += other._events
        self._first[:, rows] = np.minimum(self._first[:, rows], other._first)
        for mine, theirs in ((self._by_user, other._by_user), (self._by_time, other._by_time)):
            np.add(mine.utterances, theirs.utterances, out=mine.utterances)
            np.add(mine.cost_seconds, theirs.cost_seconds, out=mine.cost_seconds)
            np.add(mine.latencies, theirs.latencies, out=mine.latencies)

    def incidents(self, metric: str) -> Incidents:
        """Return whom the events of one of `RATES` have met."""
        self._settle()
        place = RATES.index(metric)
        return Incidents(self._events[place], self._first[place], self._hashes)

    def rate(self, metric: str) -> float:
        """Return events an utterance, of one of `RATES`; 0 where there are no utterances."""
        return int(self.incidents(metric).events.sum()) / max(1, self.utterances)

    @property
    def by_user(self) -> Tally:
        """Return the sums of `GROUPS` groups of users."""
        self._settle()
        return self._by_user

    @property
    def by_time(self) -> Tally:
        """Return the sums of `GROUPS` groups of seconds."""
        self._settle()
        return self._by_time

    def _row(self, user_id: str) -> int:
        return self._rows.setdefault(user_id, len(self._rows))

    def _grow(self) -> None:
        """Make room for users who came since."""
        known, users = len(self._hashes), len(self._rows)
        if users == known:
            return
        new = [_hash(user) for user in islice(self._rows, known, None)]
        self._hashes = np.concatenate([self._hashes, np.asarray(new, np.int64)])
        self._events = np.concatenate([self._events, np.zeros((len(RATES), users - known), np.int64)], axis=1)
        self._first = np.concatenate([self._first, np.full((len(RATES), users - known), _NEVER)], axis=1)

    def _settle(self) -> None:
        """Count what is pending, all at once."""
        self._grow()
        if self._pending:
            rows, slices, bins, costs, failed, degraded = (
                np.asarray(column) for column in zip(*self._pending, strict=True)
            )
            self._pending.clear()
            for tally, groups in (
                (self._by_user, self._hashes[rows] % GROUPS),
                (self._by_time, slices // _SLICES_A_SECOND % GROUPS),
            ):
                np.add.at(tally.utterances, groups, 1)
                np.add.at(tally.cost_seconds, groups, costs)
                np.add.at(tally.latencies, (groups, bins), 1)
            for place, met in enumerate((failed, degraded)):
                self._meet(place, rows[met], slices[met])
        if self._corrections:
            rows, slices = (np.asarray(column) for column in zip(*self._corrections, strict=True))
            self._corrections.clear()
            self._meet(_CORRECTED, rows, slices)

    def _meet(self, place: int, rows: Counts, slices: Counts) -> None:
        np.add.at(self._events[place], rows, 1)
        np.minimum.at(self._first[place], rows, slices)


def latency_bin(seconds: float) -> int:
    """Return which bin of a latency histogram a duration belongs to; the first and the last have no end."""
    if seconds <= _SHORTEST_SECONDS:
        return 0
    return min(_BINS - 1, int(np.log(seconds / _SHORTEST_SECONDS) * BINS_PER_E_FOLD))


def bin_edges() -> npt.NDArray[np.float64]:
    """Return the bins' edges in seconds, one more than there are bins."""
    return _SHORTEST_SECONDS * np.exp(np.arange(_BINS + 1) / BINS_PER_E_FOLD)


def _empty_tally() -> Tally:
    return Tally(np.zeros(GROUPS, np.int64), np.zeros(GROUPS), np.zeros((GROUPS, _BINS), np.int64))


def _slice(at_seconds: float) -> int:
    return int(at_seconds // SLICE_SECONDS)


def _hash(user_id: str) -> int:
    """Return a user's hash; the salt is no flag's, so that it says nothing about arms."""
    return mmh3.mmh3_32_uintdigest(f"statistics.{user_id}".encode("utf-8", "surrogatepass"))
