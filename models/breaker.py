"""A circuit breaker: after failures in a row a tier is left alone for a while, then tried with one call."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class BreakerState(enum.StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Counts one dependency's failures. Not for use from several threads."""

    def __init__(self, *, failures: int, open_seconds: float, clock: Callable[[], float]) -> None:
        """Start closed.

        Args:
            failures: In a row, that open it.
            open_seconds: From opening to the first probe.
            clock: Monotonic seconds.
        """
        self._limit = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Return what the next call meets."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        waited = self._clock() - self._opened_at >= self._open_seconds
        return BreakerState.HALF_OPEN if waited else BreakerState.OPEN

    def admit(self) -> bool:
        """Say whether a call may go ahead. One that may must be reported by `succeeded`, `failed` or `released`."""
        state = self.state
        if state is BreakerState.HALF_OPEN and not self._probing:
            self._probing = True
            return True
        return state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """Close."""
        self._failures = 0
        self._opened_at = None
        self._probing = False

    def failed(self) -> None:
        """Count a failure; open at the limit, and again after a failed probe."""
        self._failures += 1
        # Open already, it hears of calls from before; the wait counts from the first reason for it.
        if self._probing or (self._opened_at is None and self._failures >= self._limit):
            self._opened_at = self._clock()
        self._probing = False

    def released(self) -> None:
        """Forget a call that said nothing about the dependency, such as one that its caller gave up."""
        self._probing = False
