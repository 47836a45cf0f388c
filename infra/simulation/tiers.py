"""Tiers that follow a script of chance, and what keeps an eye on the breakers before them, by a count of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infra.simulation.checker import BrokenError
from models.prediction import TierBusyError, TierFailedError, TierTimeoutError, TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.simulation.checker import Violation
    from infra.simulation.world import World
    from models.prediction import Probabilities
    from schemas import settings

LABELS = ("billing", "greeting", "refund")

Verdict = Literal["good", "bad", "none"]


class BreakerWatch:
    """Knows, of one tier, when it must be left alone.

    Args:
        name: Of the tier.
        limits: What was promised.
    """

    def __init__(self, name: str, limits: settings.Chain) -> None:
        self._name = name
        self._limits = limits
        self._failures = 0
        self._opened_at: float | None = None
        self._calls = 0
        self._probing = False

    def called(self, now: float) -> None:
        """See a call go ahead."""
        if self._opened_at is not None:
            if now - self._opened_at < self._limits.breaker_open_seconds - 1e-9:
                raise BrokenError("breaker", f"{self._name} was called {now - self._opened_at:.3f} s after it opened")
            if self._probing:
                raise BrokenError("breaker", f"{self._name} was called while a probe was under way")
            self._probing = True
        self._calls += 1

    def ended(self, now: float, verdict: Verdict) -> None:
        """See a call end."""
        self._calls -= 1
        was_probe, self._probing = self._probing, False
        if verdict == "good":
            self._failures, self._opened_at = 0, None
        elif verdict == "bad":
            self._failures += 1
            if was_probe or (self._opened_at is None and self._failures >= self._limits.breaker_failures):
                self._opened_at = now

    def skipped(self, now: float) -> None:
        """See a call that was not made, because of the breaker."""
        if self._opened_at is None:
            raise BrokenError("breaker", f"{self._name} was left alone after {self._failures} failures")
        if now - self._opened_at > self._limits.breaker_open_seconds + 1e-9 and not self._probing:
            raise BrokenError("breaker", f"{self._name} was left alone {now - self._opened_at:.3f} s after it opened")


class ScriptedTier:
    """Is right, slow, wrong, broken or hung, as chance has it.

    Args:
        name: What results call it.
        world: Time and chance.
        limits: Of the chain that calls it.
        sickness: How likely a call goes wrong, while there are to be faults; it is changed as the run goes on.
    """

    def __init__(self, name: str, world: World, limits: settings.Chain, sickness: float) -> None:
        self.name = name
        self.sickness = sickness
        self.watch = BreakerWatch(name, limits)
        self.found: Violation | None = None
        self._world = world
        self._deadline = limits.tier_deadline_seconds

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        """Answer, or not."""
        self._see(self.watch.called)
        verdict: Verdict = "bad"
        try:
            answer = await self._play(texts)
            verdict = "good" if _is_sound(answer, len(texts)) else "bad"
        except TierUnavailableError:
            verdict = "none"
            raise
        finally:
            self._see(self.watch.ended, verdict)
        return answer  # type: ignore[no-any-return]  # which is the point of some

    def skipped(self) -> None:
        """See that the chain went past this tier because of its breaker."""
        self._see(self.watch.skipped)

    async def _play(self, texts: Sequence[str]) -> Any:
        chance = self._world.chance
        if chance.random() >= self.sickness:
            await asyncio.sleep(chance.uniform(0, 0.02))
            return _right(texts, chance.choice((0.6, 0.95)))
        match chance.choice(("slow", "hung", "error", "unavailable", "cancelled", "nonsense")):
            case "slow":
                await asyncio.sleep(chance.uniform(0, 2 * self._deadline))
                return _right(texts, 0.9)
            case "hung":
                await asyncio.Event().wait()
            case "error":
                raise chance.choice(_ERRORS)("simulated")
            case "unavailable":
                raise TierUnavailableError("simulated")
            case "cancelled":
                raise asyncio.CancelledError
        return chance.choice(_NONSENSE)(len(texts))

    def _see(self, look: Any, *args: Any) -> None:
        try:
            look(self._world.now, *args)
        except BrokenError as broken:
            self.found = self.found or broken.violation


_ERRORS: tuple[type[Exception], ...] = (
    TierFailedError,
    TierTimeoutError,
    TierBusyError,
    TimeoutError,
    MemoryError,
    ValueError,
)

_NONSENSE: tuple[Any, ...] = (
    lambda rows: np.full((rows, len(LABELS) + 1), np.nan, np.float32),
    lambda rows: np.full((rows, len(LABELS) + 1), 0.9, np.float32),
    lambda rows: np.full((rows + 1, len(LABELS) + 1), 0.25, np.float32),
    lambda rows: np.tile(np.array([2.0, -1.0, 0.0, 0.0], np.float32), (rows, 1)),
    lambda rows: np.zeros((rows, len(LABELS) + 1), np.int64),
    lambda _rows: None,
)


def _right(texts: Sequence[str], confidence: float) -> Probabilities:
    rows = np.full((len(texts), len(LABELS) + 1), (1 - confidence) / len(LABELS), np.float32)
    for row, text in enumerate(texts):
        rows[row, LABELS.index(text.split()[-1])] = confidence
    return rows


def _is_sound(answer: Any, rows: int) -> bool:
    """Return whether these are probabilities; no script's wrong ones are close to it."""
    return (
        isinstance(answer, np.ndarray)
        and answer.shape == (rows, len(LABELS) + 1)
        and answer.dtype == np.float32
        and bool((answer >= 0).all())
        and bool((abs(answer.sum(axis=1) - 1) < 0.01).all())  # noqa: PLR2004 - a wide margin around one
    )
