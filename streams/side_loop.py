"""A second event loop, on a thread of its own: batches are decided there, and the first one is free for what hurries.

Deciding a batch under full load is tens of milliseconds of Python in one piece. On the loop that serves HTTP, every
probe and every flag change would wait for that; here they only share the interpreter, which changes hands quickly.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from models.threads import step_back
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from schemas.cloudevents import Received
    from streams.classify import Decider
    from streams.results import Decision

T = TypeVar("T")
P = TypeVar("P")


class SideLoop:
    """An event loop on a daemon thread, which runs from the start until it is stopped.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there, wait for it here; cancelling one cancels the other."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def wait_for(self, coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run it there, and block this thread until it is done.

        Raises:
            UnavailableError: It took longer, or the loop has stopped.
        """
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return running.result(seconds)
        except TimeoutError as error:
            running.cancel()
            raise UnavailableError(f"What was asked was not answered in {seconds:g} s.") from error

    def call(self, call: Callable[[P], None], argument: P) -> None:
        """Make a call there, soon; never waits for it."""
        self._loop.call_soon_threadsafe(call, argument)

    def stop(self) -> None:
        """End the loop after what it is running right now; never waits for it."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        step_back()
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()


class SideDecider:
    """A decider that decides on the other loop.

    Args:
        decider: Whose parts belong to that loop.
        loop: The other one.
    """

    def __init__(self, decider: Decider, loop: SideLoop) -> None:
        self._decider = decider
        self._loop = loop

    async def decide(self, utterances: Sequence[Received]) -> Sequence[Decision]:
        """Return one decision for each utterance, in their order."""
        return await self._loop.run(self._decider.decide(utterances))
