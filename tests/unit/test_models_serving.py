"""A classifier takes another's place between calls: those under way end where they began."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from models.serving import Serving


class Named:
    """A classifier that can be told apart, and tells whether it was closed."""

    def __init__(self, release: str) -> None:
        self.release = release
        self.closed = False

    async def close(self) -> None:
        self.closed = True


async def test_a_call_under_way_keeps_what_it_began_with_until_it_ends() -> None:
    old, new = Named("old"), Named("new")
    serving = Serving(cast("Any", old))
    with serving.call() as first, serving.call() as second:
        replacing = asyncio.create_task(serving.replace(cast("Any", new)))
        await asyncio.sleep(0)
        with serving.call() as later:
            assert [each.release for each in (first, second, later)] == ["old", "old", "new"]
        await asyncio.sleep(0)
        assert not old.closed
    await replacing
    assert (old.closed, new.closed) == (True, False)


async def test_one_that_nobody_calls_is_closed_at_once() -> None:
    old, new = Named("old"), Named("new")
    serving = Serving(cast("Any", old))
    await serving.replace(cast("Any", new))
    assert old.closed
    assert serving.current is cast("Any", new)


async def test_a_call_that_fails_holds_nothing_up() -> None:
    old = Named("old")
    serving = Serving(cast("Any", old))

    async def fail() -> None:
        with serving.call():
            await asyncio.sleep(0)
            raise ValueError("a call that failed")

    failing = asyncio.create_task(fail())
    await asyncio.sleep(0)
    replacing = asyncio.create_task(serving.replace(cast("Any", Named("new"))))
    with pytest.raises(ValueError, match="failed"):
        await failing
    await replacing
    assert old.closed
