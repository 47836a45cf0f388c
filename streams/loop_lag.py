"""Measures how late each event loop is: what it is late by, every probe, flag change and HTTP request waits, too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mode import Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.side_loop import SideLoop

_EVERY_SECONDS = 0.5


class LoopLag(Service):
    """Sleeps on both loops, and looks how much longer that took than was asked for.

    Args:
        side: The loop on which batches are decided.
        observe: Takes seconds and the loop's name, `web` or `decide`; called on that loop.
    """

    def __init__(self, side: SideLoop, observe: Callable[[float, str], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._side = side
        self._observe = observe
        self._measuring: list[asyncio.Task[None]] = []

    async def on_start(self) -> None:
        """Begin to measure."""
        self._measuring = [
            asyncio.create_task(self._measure("web"), name="loop-lag-web"),
            asyncio.create_task(self._side.run(self._measure("decide")), name="loop-lag-decide"),
        ]

    async def on_stop(self) -> None:
        """Stop measuring."""
        for task in self._measuring:
            task.cancel()
        await asyncio.gather(*self._measuring, return_exceptions=True)

    async def _measure(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY_SECONDS
            await asyncio.sleep(_EVERY_SECONDS)
            self._observe(max(0.0, loop.time() - due), name)
