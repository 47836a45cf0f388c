"""Puts the last good state of damaged flags back into the changelog, so that compaction never leaves only a bad record.

What it takes the place of goes to the dead letters in the same transaction, and so exactly once, however many notice.

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
        strays: Returns the keys of records that are no flag's (`Follower.strays`).
        bury_strays: Takes them away, if they are still there (`Writer.bury_strays`).
        longest_wait_seconds: After damage was noticed; the wait is random.
    """

    def __init__(
        self,
        *,
        damaged: Callable[[], frozenset[str]],
        restore: Callable[[str], object],
        strays: Callable[[], frozenset[bytes]],
        bury_strays: Callable[[], int],
        longest_wait_seconds: float = 2.0,
    ) -> None:
        self._damaged = damaged
        self._restore = restore
        self._strays = strays
        self._bury_strays = bury_strays
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
            if self._strays() and not self._stopping.is_set():
                self._tidy()

    def _mend(self, name: str) -> None:
        try:
            written = self._restore(name)
        except IntentStreamError as error:
            _log.warning("flag_not_restored", flag=name, code=error.code)
            self._noticed.set()
        else:
            if written is not None:
                _log.warning("flag_restored", flag=name)

    def _tidy(self) -> None:
        try:
            freed = self._bury_strays()
        except IntentStreamError as error:
            _log.warning("flag_strays_not_buried", code=error.code)
            self._noticed.set()
        else:
            if freed:
                _log.warning("flag_strays_buried", keys=freed)
                self._noticed.set()  # there may be more
