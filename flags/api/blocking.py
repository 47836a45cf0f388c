"""Calls that wait for the broker, kept off the event loop: so many at once and no more, none awaited for ever."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")


class BlockingCalls:
    """Threads for calls of one kind.

    Args:
        name: Of the threads.
        threads: How many calls are made at once.
        waiting: How many more may wait for a thread.
        deadline_seconds: How long a caller waits. The call itself goes on, and keeps its place until it ends.
    """

    def __init__(self, name: str, *, threads: int, waiting: int, deadline_seconds: float) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + waiting
        self._deadline_seconds = deadline_seconds
        self._under_way = 0

    async def run(self, call: Callable[[], Answer]) -> Answer:
        """Return what a call returns, or raise what it raises.

        Raises:
            UnavailableError: Too many are under way already, or it took too long; then it may still be done.
        """
        if self._under_way >= self._most:
            raise UnavailableError("Too many such requests wait for the broker already; try again in a moment.")
        self._under_way += 1
        answer = asyncio.get_running_loop().run_in_executor(self._executor, call)
        answer.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), self._deadline_seconds)
        except TimeoutError as error:
            raise UnavailableError(
                f"The broker did not answer within {self._deadline_seconds:g} s. What was asked for may still be done."
            ) from error

    def close(self) -> None:
        """Take no more calls; those that wait are given up."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _ended(self, answer: asyncio.Future[Answer]) -> None:
        self._under_way -= 1
        if not answer.cancelled():
            answer.exception()  # looked at, for nobody may be waiting any more
