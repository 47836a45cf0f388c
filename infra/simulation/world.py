"""Time, chance and threads of one simulated run: all that happens follows from its seed.

An event loop whose clock skips to what comes next carries everything. Code that blocks runs on greenlets: to it they
look like threads, but they switch only where it waits, in the order that the loop says.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from greenlet import GreenletExit, getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_STEPS = 400_000
"""Switches and calls of one run; a sound one needs a hundredth of it."""


class StuckError(Exception):
    """Everything waits and nothing will ever happen, or it goes on for ever."""


class World:
    """One run's loop, chance and wall clock.

    Args:
        seed: Of all chance.

    Attributes:
        wall_offset: Seconds that the wall clock is ahead; it jumps, the loop's never does.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.loop = SimulatedLoop()
        self.wall_offset = 1_750_000_000.0
        self._steps = 0

    @property
    def now(self) -> float:
        """Return the seconds since the run began."""
        return self.loop.time()

    def wall_time(self) -> float:
        """Return Unix time, as far as anybody here knows."""
        return self.now + self.wall_offset

    def happens(self, probability: float) -> bool:
        """Draw."""
        return self.chance.random() < probability

    def pause(self, least: float, most: float) -> None:
        """Have the calling thread wait for a while; others go on."""
        self.block(None, self.chance.uniform(least, most))

    def block(self, waiting: list[Waiter] | None, seconds: float | None) -> bool:
        """Have the calling thread wait to be woken; return whether it was, and not just out of time."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise StuckError("it goes on for ever")
        thread = getcurrent()
        waiter = Waiter(self.loop, thread)
        if waiting is not None:
            waiting.append(waiter)
        if seconds is not None:
            self.loop.call_later(max(0.0, seconds), waiter.resume, False)  # noqa: FBT003 - woken
        parent = thread.parent
        if parent is None:
            raise StuckError("the loop itself waits")
        return bool(parent.switch())


class Waiter:
    """A thread that waits; it is woken once."""

    def __init__(self, loop: SimulatedLoop, thread: greenlet) -> None:
        self._loop = loop
        self._thread: greenlet | None = thread

    def wake(self) -> None:
        """Let it go on, soon."""
        self._loop.call_soon(self.resume, True)  # noqa: FBT003 - woken

    def resume(self, woken: bool) -> None:  # noqa: FBT001 - the loop calls it
        """Let it go on, now, unless it has or has died; what stands still goes on when it is let."""
        thread, self._thread = self._thread, None
        if thread is None or thread.dead:
            return
        held_until = thread.process.held_until if isinstance(thread, _Greenlet) else 0.0
        if held_until > self._loop.time():
            self._thread = thread
            self._loop.call_at(held_until, self.resume, woken)
        else:
            thread.switch(woken)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Waits for nothing: its clock skips to the next call. No sockets."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)
        self.set_exception_handler(_raise_on)
        self.broken: list[str] = []

    def time(self) -> float:
        """Return the seconds skipped so far."""
        return self._skipping.skipped_seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run on a simulated thread; without an executor, on one of its own."""
        return (executor or Thread(Process(self))).submit(func, *args)


class _SkippingSelector(selectors.SelectSelector):
    """Looks at nothing, and does not wait."""

    skipped_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError("everything waits, and nothing will ever happen")
        self.skipped_seconds += max(0.0, timeout)
        return []


def _raise_on(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Remember what nobody awaited; the run fails for it."""
    error = context.get("exception")
    if isinstance(loop, SimulatedLoop) and not isinstance(error, StuckError):
        loop.broken.append(f"{context.get('message')}: {error!r}")


class Process:
    """A process that can be killed or held: what `SIGKILL` and `SIGSTOP` do to all of its threads."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.dead = False
        self.held_until = 0.0
        self.threads: list[Thread] = []

    def kill(self) -> None:
        """End it, wherever its threads are."""
        self.dead = True
        for thread in self.threads:
            thread.end()

    def check(self) -> None:
        """End the calling thread, if it is a dead process's."""
        if self.dead:
            raise GreenletExit


class _Greenlet(greenlet):
    process: Process


class Thread:
    """An executor of one simulated thread, as `models.threads.DaemonThread` is one of a real one."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._calls: deque[_Call] = deque()
        self._greenlet: _Greenlet | None = None
        process.threads.append(self)

    def submit(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Call it after everything submitted before."""
        call = _Call(function, args, self._process.loop.create_future())
        self._calls.append(call)
        if self._greenlet is None and not self._process.dead:
            self._greenlet = _Greenlet(self._run)
            self._greenlet.process = self._process
            Waiter(self._process.loop, self._greenlet).wake()
        return call.future

    def end(self) -> None:
        """End the thread where it is; one that ends itself goes on to its next call of the world's, and no further."""
        running, self._greenlet = self._greenlet, None
        self._calls.clear()
        if running is not None and not running.dead and running is not getcurrent():
            running.throw(GreenletExit)

    def _run(self, _woken: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch's value
        while self._calls and not self._process.dead:
            call = self._calls.popleft()
            try:
                result = call.function(*call.args)
            except GreenletExit:
                return
            except BaseException as error:  # noqa: BLE001 - the future carries it to the caller, as a real thread's does
                if not call.future.done():
                    call.future.set_exception(error)
            else:
                if not call.future.done():
                    call.future.set_result(result)
        self._greenlet = None


class _Call(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]
    future: asyncio.Future[Any]
