"""Waits for what a test wants to happen, and says what did not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_SECONDS = 0.02


def wait_until(
    happened: Callable[[], bool], what: str, *, seconds: float = 60.0, also: Callable[[], str] = lambda: ""
) -> float:
    """Return how many seconds it took until something happened.

    Args:
        happened: Whether it has.
        what: It, for the failure's message.
        seconds: How long it may take.
        also: More for the failure's message.
    """
    begun = time.monotonic()
    while not happened():
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"within {seconds:g} s it never happened that {what}\n{also()}")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - begun


def let_pass(seconds: float) -> None:
    """Come back after a time that is itself what is tested, such as the length of an outage."""
    due = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= due, "the moment comes", seconds=seconds + 1)
