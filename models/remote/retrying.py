"""Sends a request again where that is safe and there is time for it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

from models.prediction import TierFailedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Answer = TypeVar("_Answer")

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class TransientError(TierFailedError):
    """The request was refused before it was worked on, or lost; sent again, it may be answered.

    Attributes:
        pause_seconds: What the server asks to be left alone for.
    """

    def __init__(self, reason: str, *, pause_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_seconds = pause_seconds


async def retried(
    send: Callable[[], Awaitable[_Answer]],
    *,
    retries: int,
    seconds: float,
    jitter: Callable[[float, float], float] = random.uniform,
) -> _Answer:
    """Return what `send` returns at last.

    Between tries it pauses with full jitter (Brooker, "Exponential Backoff And Jitter", 2015): callers that failed at
    the same moment do not come back at the same moment.

    Args:
        send: Sends the request. That it classifies, and changes nothing, makes it safe to send twice.
        retries: So many times after the first.
        seconds: From now; a pause that would end after them is not made.
        jitter: Returns a number between two.

    Raises:
        TransientError: The last of them, when there is no more to be tried; another error at once.
    """
    now = asyncio.get_running_loop().time
    deadline = now() + seconds
    attempt = 0
    while True:
        try:
            return await send()
        except TransientError as error:
            ceiling = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**attempt)
            pause = max(error.pause_seconds, jitter(0, ceiling))
            if attempt >= retries or now() + pause >= deadline:
                raise
        await asyncio.sleep(pause)
        attempt += 1
