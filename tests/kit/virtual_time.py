"""An event loop on which waiting takes no time: when nothing is left to do, its clock goes forward to what comes next.

Deadlines can then be tested to the microsecond, on a machine as slow as it likes. Not for code that waits on threads or
sockets: for those, time does not stand still.
"""

from __future__ import annotations

import asyncio
import selectors


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0 seconds."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the seconds skipped so far."""
        return self._skipping.skipped_seconds


class _SkippingSelector(selectors.DefaultSelector):  # select() knows no descriptor beyond 1023
    """Looks, and does not wait."""

    skipped_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        self.skipped_seconds += max(0.0, timeout)
        return super().select(0)
