"""Has snapshots taken while anybody looks, and hands each to all who do: one picture, encoded once, for everyone.

Who reads slowly gets the newest when they come for it, and misses those between; nobody waits for anybody.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from health.logs import describe_fault
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from streams.console.sampler import Sampler

_log = structlog.get_logger(__name__)

_SHOWN_RESULTS = 14
"""The page's table has as many rows; who wants more takes the bundle."""


class FeedObserver(Protocol):
    """Who counts."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class Feed:
    """The one feed of a worker. Belongs to the event loop that serves it.

    Args:
        sampler: Takes the snapshots.
        observer: Counts.
        max_viewers: At once; one more is refused.
        every_seconds: From one snapshot to the next.

    Attributes:
        viewers: How many look.
    """

    def __init__(
        self, sampler: Sampler, observer: FeedObserver, *, max_viewers: int, every_seconds: float = 1.0
    ) -> None:
        self.viewers = 0
        self._sampler = sampler
        self._observer = observer
        self._max_viewers = max_viewers
        self._every_seconds = every_seconds
        self._sampling: asyncio.Task[None] | None = None
        self._latest: bytes | None = None
        self._taken = 0
        self._news = asyncio.Condition()
        self._closed = False

    @contextmanager
    def view(self) -> Iterator[AsyncIterator[bytes]]:
        """Lend the feed: the history first, and then snapshots, as server-sent events.

        Raises:
            UnavailableError: As many look as may, or the worker is stopping.
        """
        if self._closed:
            raise UnavailableError("The worker is stopping.")
        if self.viewers >= self._max_viewers:
            raise UnavailableError(f"{self.viewers} consoles of this worker are open already; close one.")
        self.viewers += 1
        if self._sampling is None:
            self._sampling = asyncio.create_task(self._sample_for_ever(), name="console")
        try:
            yield self._events()
        finally:
            self.viewers -= 1
            if not self.viewers:
                self._stop()

    async def close(self) -> None:
        """Let everybody go, and nobody in."""
        self._closed = True
        self._stop()
        async with self._news:
            self._news.notify_all()

    async def _events(self) -> AsyncIterator[bytes]:
        yield encode_event("history", list(self._sampler.history))
        seen = 0
        while True:
            async with self._news:
                await self._news.wait_for(lambda: self._closed or (self._latest and self._taken > seen))  # noqa: B023 - waited for here
                latest, seen = self._latest, self._taken
            if self._closed or latest is None:
                return
            yield latest

    async def _sample_for_ever(self) -> None:
        while True:
            try:
                sample = self._sampler.sample()
                shown = msgspec.structs.replace(sample, recent=sample.recent[:_SHOWN_RESULTS])
                latest = encode_event("snapshot", shown)
            except Exception as error:  # noqa: BLE001 - the console's guard: its faults are its own; logged and counted
                self._observer.unexpected("console")
                _log.error("console_failed", **describe_fault(error))
            else:
                async with self._news:
                    self._latest = latest
                    self._taken += 1
                    self._news.notify_all()
            await asyncio.sleep(self._every_seconds)

    def _stop(self) -> None:
        self._latest = None  # whoever comes later wants no old picture
        if self._sampling is not None:
            self._sampling.cancel()
            self._sampling = None


def encode_event(name: str, content: object) -> bytes:
    """Return a server-sent event with JSON in it."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(content))
