"""The classifier that serves, one that may be tried beside it, and the way from one to the next.

Calls under way end where they began.

Belongs to one event loop, like the classifiers.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.classifier import Classifier
    from schemas.events import ModelRelease


class Candidate(NamedTuple):
    """A classifier that is tried beside the one that serves: the same, but for one release.

    Attributes:
        classifier: It.
        record: The release, and where its trial stands.
    """

    classifier: Classifier
    record: ModelRelease

    @property
    def stage(self) -> str | None:
        """Return how it is tried: `shadow`: asked, and not heard; `rollout`: it answers those who have its flag."""
        return None if self.record.trial is None else self.record.trial.stage


class Serving:
    """What serves now.

    Args:
        first: Serves until it is replaced.
    """

    def __init__(self, first: Classifier) -> None:
        self._current = first
        self._candidate: Candidate | None = None
        self._calls: dict[Classifier, int] = {}
        self._left: asyncio.Event | None = None

    @property
    def current(self) -> Classifier:
        """Return what serves; another one at any time, so ask it only what is answered at once. From any thread."""
        return self._current

    @property
    def candidate(self) -> Candidate | None:
        """Return what is tried beside it, if anything is; as of `current`."""
        return self._candidate

    @contextmanager
    def call(self) -> Iterator[Classifier]:
        """Lend what serves for a call: it stays whole until the call has ended."""
        with self.hold(self._current) as lent:
            yield lent

    @contextmanager
    def both(self) -> Iterator[tuple[Classifier, Candidate | None]]:
        """Lend, likewise, what serves and what is tried beside it."""
        candidate = self._candidate
        with self.call() as serving, ExitStack() as held:
            if candidate is not None:
                held.enter_context(self.hold(candidate.classifier))
            yield serving, candidate

    @contextmanager
    def hold(self, lent: Classifier) -> Iterator[Classifier]:
        """Keep whole, for a call, a classifier that serves or is tried right now."""
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
        await self._close(former)

    async def stand_by(self, candidate: Candidate | None) -> None:
        """Have another one tried from now on, or none; return when the former is closed, its last call answered."""
        former, self._candidate = self._candidate, candidate
        if former is not None:
            await self._close(former.classifier)

    async def close(self) -> None:
        """Close both at once."""
        if self._candidate is not None:
            await self._candidate.classifier.close()
        await self._current.close()

    async def _close(self, former: Classifier) -> None:
        self._left = asyncio.Event()
        while former in self._calls:
            self._left.clear()
            await self._left.wait()
        await former.close()
