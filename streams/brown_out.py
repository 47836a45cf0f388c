"""Spends less on each utterance while they wait too long, so that the queue stops growing before anybody sees it.

An answer by the rules is worse than one by the tier behind them, and better than one that comes too late.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

_RECOVERED_SHARE = 0.25
"""Of the wait that begins it; between the two, things stay as they are, or it would flicker."""

_log = structlog.get_logger(__name__)


class BrownOutObserver(Protocol):
    """Who shows it. Called on the event loop, at a change; must not block."""

    def browned_out(self, *, active: bool) -> None:
        """Show whether utterances are spared the dearer tiers."""


class BrownOut:
    """Whether utterances wait too long: those of the last batch did, and it was not long ago. Lives on one event loop.

    Args:
        after_seconds: How long the oldest of a batch may have waited; 0: as long as it likes.
        observer: Who shows it.
    """

    def __init__(self, after_seconds: float, observer: BrownOutObserver | None = None) -> None:
        self._after_seconds = after_seconds
        self._observer = observer
        self._end: asyncio.TimerHandle | None = None
        self.active = False

    def waited(self, seconds: float) -> None:
        """Take note of how long the oldest utterance of the next batch has waited."""
        if not self._after_seconds:
            return
        limit = self._after_seconds * (_RECOVERED_SHARE if self.active else 1)
        self._be(seconds > limit, seconds)
        if self._end is not None:
            self._end.cancel()
        # When no batch comes any more, nobody waits, and who asks over HTTP is to be answered as well as can be.
        self._end = asyncio.get_running_loop().call_later(self._after_seconds, self._be, False, 0.0)  # noqa: FBT003 - call_later takes no names

    def _be(self, active: bool, waited_seconds: float) -> None:  # noqa: FBT001 - likewise
        if active is self.active:
            return
        self.active = active
        _log.warning("brown_out", active=active, waited_seconds=round(waited_seconds, 3))
        if self._observer is not None:
            self._observer.browned_out(active=active)
