"""Sizes batches so that one takes about as long as was asked: large on a fast stream, small on a slow one."""

from __future__ import annotations

_SMOOTHING = 0.3
"""Weight of the newest batch in the moving average of the speed."""

_GROWTH = 4
"""A limit grows at most so many times from one batch to the next: the speed on few records says little of many."""


class Pace:
    """How many records the next batch may have.

    Args:
        target_seconds: How long answering one batch should take.
        max_records: No batch is larger.
    """

    def __init__(self, *, target_seconds: float, max_records: int) -> None:
        self._target_seconds = target_seconds
        self._max_records = max_records
        self._records_per_second: float | None = None
        self.limit = min(64, max_records)

    def observe(self, records: int, seconds: float) -> None:
        """Learn from a batch of `records` that took `seconds` to answer."""
        speed = records / max(seconds, 1e-6)
        known = self._records_per_second
        self._records_per_second = speed if known is None else known + _SMOOTHING * (speed - known)
        wanted = int(self._records_per_second * self._target_seconds)
        self.limit = max(1, min(wanted, self.limit * _GROWTH, self._max_records))
