"""The classifier that serves, and the way from one to the next: calls under way end where they began.

Belongs to one event loop, like the classifiers.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.classifier import Classifier


class Serving:
    """What serves now.

    Args:
        first: Serves until it is replaced.
    """

    def __init__(self, first: Classifier) -> None:
        self._current = first
        self._calls: dict[Classifier, int] = {}
        self._left: asyncio.Event | None = None

    @property
    def current(self) -> Classifier:
        """Return what serves; another one at any time, so ask it only what is answered at once. From any thread."""
        return self._current

    @contextmanager
    def call(self) -> Iterator[Classifier]:
        """Lend what serves for a call: it stays whole until the call has ended."""
        lent = self._current
        self._calls[lent] = self._calls.get(lent, 0) + 1
        try:
            yield lent
        finally:
            self._calls[lent] -= 1
            if not self._calls[lent]:
                del self._calls[lent]
                if self._left is not None:
                    self._left.set()

    async def replace(self, new: Classifier) -> None:
        """Have another one serve every call from now on; return when the former is closed, its last call answered."""
        former, self._current = self._current, new
        self._left = asyncio.Event()
        while former in self._calls:
            self._left.clear()
            await self._left.wait()
        await former.close()
