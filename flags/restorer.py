"""Puts the last good state of damaged flags back into the changelog, so that compaction never leaves only a bad record.

Every process may notice; each waits for a moment of its own, so that usually the first has done it for all.
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import structlog

from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)


class Restorer:
    """Mends flags on a thread of its own.

    Args:
        damaged: Returns the flags whose newest record does not count (`Follower.damaged`).
        restore: Mends one, if it still needs it (`Writer.restore`).
        longest_wait_seconds: After damage was noticed; the wait is random.
    """

    def __init__(
        self,
        *,
        damaged: Callable[[], frozenset[str]],
        restore: Callable[[str], object],
        longest_wait_seconds: float = 2.0,
    ) -> None:
        self._damaged = damaged
        self._restore = restore
        self._longest_wait_seconds = longest_wait_seconds
        self._noticed = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flags-restorer", daemon=True)

    def start(self) -> None:
        """Begin to wait for notices."""
        self._thread.start()

    def notice(self) -> None:
        """Say that a record was refused. Never blocks."""
        self._noticed.set()

    def stop(self, seconds: float = 5.0) -> None:
        """Stop, started or not; what is damaged still will be noticed at the next start."""
        self._stopping.set()
        self._noticed.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while self._noticed.wait() and not self._stopping.is_set():
            self._noticed.clear()
            self._stopping.wait(random.uniform(0, self._longest_wait_seconds))  # noqa: S311 - no secret
            for name in sorted(self._damaged()):
                if not self._stopping.is_set():
                    self._mend(name)

    def _mend(self, name: str) -> None:
        try:
            written = self._restore(name)
        except IntentStreamError as error:
            _log.warning("flag_not_restored", flag=name, code=error.code)
            self._noticed.set()
        else:
            if written is not None:
                _log.warning("flag_restored", flag=name)
