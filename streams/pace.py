"""Sizes batches so that one takes about as long as was asked: large on a fast stream, small on a slow one.

A batch costs something by itself (threads taking turns, a transaction) and something for each record. Who takes the one
for the other makes batches small because they are small: on a busy machine batches of 60 records took 0.2 s, nearly all
of it their own, and to keep to 0.1 s they were made smaller still, until a worker answered a tenth of what it could.
"""

from __future__ import annotations

_WEIGHT = 0.1
"""Of the newest batch in the moving averages."""

_GROWTH = 4
"""A limit grows at most so many times from one batch to the next: the speed on few records says little of many."""

_SPREAD = 0.1
"""How much batches must differ in size, as a share of their mean, to tell their own cost from that of their records."""

_SWING = 0.25
"""By how much of it every other limit is larger and the next smaller, so that they do."""

_MOST_OWN = 0.75
"""Of a batch's seconds; what is left is a record's, or one would seem to cost nothing."""


class Pace:
    """How many records the next batch may have.

    At least as much of a batch's time is its records' as its own, be it longer than was asked.

    Args:
        target_seconds: How long answering one batch should take.
        max_records: No batch is larger.
    """

    def __init__(self, *, target_seconds: float, max_records: int) -> None:
        self._target_seconds = target_seconds
        self._max_records = max_records
        self._weight = 1.0
        self._records = self._seconds = self._squares = self._products = 0.0
        self._own_seconds = 0.0
        self._swing = _SWING
        self.limit = min(64, max_records)

    def observe(self, records: int, seconds: float) -> None:
        """Learn from a batch of `records` that took `seconds` to answer."""
        self._average(records, max(seconds, 1e-6))
        mean, variance = self._records, self._squares - self._records**2
        if variance > (_SPREAD * mean) ** 2:
            each = (self._products - mean * self._seconds) / variance
            self._own_seconds = self._seconds - each * mean
        own = min(max(self._own_seconds, 0.0), _MOST_OWN * self._seconds)
        wanted = max(self._target_seconds - own, own) * mean / (self._seconds - own)
        self._swing = -self._swing
        self.limit = max(1, min(int(wanted * (1 + self._swing)), self.limit * _GROWTH, self._max_records))

    def _average(self, records: int, seconds: float) -> None:
        """Take a batch into the moving averages; the first few count alike."""
        self._weight = max(_WEIGHT, self._weight / (1 + self._weight)) if self._squares else 1.0
        self._records += self._weight * (records - self._records)
        self._seconds += self._weight * (seconds - self._seconds)
        self._squares += self._weight * (records**2 - self._squares)
        self._products += self._weight * (records * seconds - self._products)
