"""How far behind its end a partition is, in messages and in seconds, from what a worker knows without asking anyone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Place = tuple[str, int]
"""Topic and partition."""


class PartitionLag(NamedTuple):
    """Of one partition."""

    messages: int
    """Offsets from the first without a committed answer to the end; 0 where all that stand between are markers of
    transactions, or records of aborted ones."""
    seconds: float
    """For how long the first of them has waited, at most."""
    committed: int
    """The first offset without a committed answer."""


class _Committed(NamedTuple):
    offset: int
    seconds: float


class Progress:
    """What was fetched and committed last of each partition, and when each had nothing left.

    Args:
        clock: Unix time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._fetched: dict[Place, int] = {}
        self._committed: dict[Place, _Committed] = {}
        self._began: dict[Place, float] = {}

    def fetched(self, place: Place, offset: int) -> None:
        """Take note that the last record fetched stands before an offset."""
        self._fetched[place] = offset

    def committed(self, place: Place, offset: int, timestamp_ms: int) -> None:
        """Take note that everything before an offset is answered; the last of it has that timestamp."""
        self._committed[place] = _Committed(offset, timestamp_ms / 1000)

    def forget(self, places: Iterable[Place]) -> None:
        """Forget partitions that others go on with."""
        for place in places:
            self._fetched.pop(place, None)
            self._committed.pop(place, None)
            self._began.pop(place, None)

    def lag(self, known: Mapping[Place, tuple[int, int]]) -> dict[Place, PartitionLag]:
        """Return how far behind each partition is.

        What is not answered yet came after the last that is, and after the last time that nothing was left.

        Args:
            known: Of each partition the offset that is fetched next, and its end. Of a consumer that tells partitions'
                ends, the former is behind what stands there and is no record.
        """
        now, lags = self._clock(), {}
        for place, (position, end) in known.items():
            committed = self._committed.get(place)
            offset = position if committed is None else committed.offset
            is_all_answered = offset >= self._fetched.get(place, offset)
            first_waiting = max(offset, position) if is_all_answered else offset
            if first_waiting >= end or place not in self._began:
                self._began[place] = now
            since = self._began[place] if committed is None else max(self._began[place], committed.seconds)
            messages = max(0, end - first_waiting)
            lags[place] = PartitionLag(messages, max(0.0, now - since) if messages else 0.0, offset)
        return lags
