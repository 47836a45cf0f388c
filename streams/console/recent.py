"""The last results and since when breakers are open, kept for whoever opens the console; no text is among them."""

from __future__ import annotations

import time
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from models.breaker import BreakerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from schemas.events import Result

MOST = 50


class Noted(NamedTuple):
    """A result, and when it was answered, in seconds of the epoch."""

    at: float
    result: Result


class RecentResults:
    """The last `MOST` results. Told from any thread, once a batch, at the cost of a slice.

    Args:
        clock: Seconds of the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._noted: deque[Noted] = deque(maxlen=MOST)

    def note(self, results: Sequence[Result]) -> None:
        """Keep the last of a batch."""
        now = self._clock()
        self._noted.extend([Noted(now, result) for result in results[-MOST:]])

    def newest_first(self) -> list[Noted]:
        """Return them."""
        return list(self._noted.copy())[::-1]


class OpenBreakers:
    """Since when each breaker that is not closed is so.

    Args:
        clock: Seconds of the epoch.

    Attributes:
        since: By the breaker's name, in seconds of the epoch; replaced, never changed.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.since: Mapping[str, float] = MappingProxyType({})

    def changed(self, name: str, state: BreakerState) -> None:
        """Take note of a breaker's new state; one that opens again after a failed try was open all the time."""
        others = {other: since for other, since in self.since.items() if other != name}
        if state is not BreakerState.CLOSED:
            others[name] = self.since.get(name, self._clock())
        self.since = MappingProxyType(others)
