"""What goes on beside a `with` block: those whom a benchmark, a run of chaos or a test has around it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Background(ABC):
    """Runs on a thread of its own from when it is entered until it is left.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Have it end, and return when it has."""
        self.ending.set()
        self.join()

    def join(self) -> None:
        """Return when it has ended, of itself or because it was to."""
        if self._thread.is_alive():
            self._thread.join()

    @abstractmethod
    def run(self) -> None:
        """Go on until `ending` is set, or all is done; on the thread."""
