"""The loop beside the first one: what it runs holds up nobody there, and both can give up."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from streams.side_loop import SideLoop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def side() -> Iterator[SideLoop]:
    loop = SideLoop("side")
    yield loop
    loop.stop()


async def test_what_takes_long_there_does_not_hold_up_this_loop(side: SideLoop) -> None:
    begun, released = threading.Event(), threading.Event()

    async def block() -> bool:
        begun.set()
        return released.wait(10)

    blocked = asyncio.create_task(side.run(block()))
    assert await asyncio.to_thread(begun.wait, 10)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not blocked.done()
    released.set()
    assert await blocked


async def test_an_error_there_is_raised_here(side: SideLoop) -> None:
    async def fail() -> None:
        raise ValueError("seven")

    with pytest.raises(ValueError, match="seven"):
        await side.run(fail())


async def test_who_gives_up_here_ends_it_there(side: SideLoop) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    waiting = asyncio.create_task(side.run(wait()))
    assert await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(ended.wait, 10)


async def test_its_thread_ends_when_it_is_stopped() -> None:
    loop = SideLoop("side-that-ends")
    loop.stop()
    deadline = time.monotonic() + 10
    while any(thread.name == "side-that-ends" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
