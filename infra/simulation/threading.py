"""What the core needs of `threading` and `time`, under the simulation's clock. Nothing here is ever waited for.

The threads switch only where they wait, so that a condition needs no lock of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from infra.simulation.world import Waiter, World


class Lock:
    """Held by one thread at a time; the others wait in a row."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held = False
        self._waiting: list[Waiter] = []

    def __enter__(self) -> Self:
        while self._held:
            self._world.block(self._waiting, None)
        self._held = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = False
        if self._waiting:
            self._waiting.pop(0).wake()


class Condition:
    """Something that threads wait for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[Waiter] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def notify_all(self) -> None:
        """Have everybody look again."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.wake()

    def wait_for(self, predicate: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until it holds; return whether it does."""
        deadline = None if seconds is None else self._world.now + seconds
        while not predicate():
            left = None if deadline is None else deadline - self._world.now
            if left is not None and left <= 0:
                return False
            self._world.block(self._waiting, left)
        return True


class Event:
    """Set once."""

    def __init__(self, world: World) -> None:
        self._is_set = False
        self._changed = Condition(world)

    def set(self) -> None:
        """Wake all."""
        self._is_set = True
        self._changed.notify_all()

    def is_set(self) -> bool:
        """Return whether it is."""
        return self._is_set

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is; return whether it is."""
        return self._changed.wait_for(self.is_set, seconds)


class Stage(Protocol):
    """Knows which world is played in."""

    world: World


class ThreadingModule:
    """Stands where the core says `threading`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def Lock(self) -> Lock:  # noqa: N802 - as `threading` has it
        """Make one."""
        return Lock(self._stage.world)

    def Condition(self) -> Condition:  # noqa: N802 - as `threading` has it
        """Make one."""
        return Condition(self._stage.world)

    def Event(self) -> Event:  # noqa: N802 - as `threading` has it
        """Make one."""
        return Event(self._stage.world)


class TimeModule:
    """Stands where the core says `time`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return self._stage.world.now

    def time(self) -> float:
        """Return Unix time, which does."""
        return self._stage.world.wall_time()
