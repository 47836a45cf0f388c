"""The log that a child of ours writes: put aside when it has grown large, and read at its end when the child dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LARGE_BYTES = 10_000_000
_TAIL_BYTES = 16_384


class LogFile:
    """A file that children append to, one after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def begin(self) -> None:
        """Note that what a new child writes begins here; put the file aside first if it has grown large."""
        self._start = self.path.stat().st_size if self.path.exists() else 0
        if self._start > _LARGE_BYTES:
            self.path.replace(self.path.with_suffix(".log.1"))
            self._start = 0

    def tail(self) -> str:
        """Return the end of what was written since the last beginning."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as log:
            log.seek(max(self._start, self.path.stat().st_size - _TAIL_BYTES))
            return log.read().decode(errors="replace")
