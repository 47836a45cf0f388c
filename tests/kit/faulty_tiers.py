"""Tiers that are sound, or broken in one of the ways a tier can be; for an event loop whose clock is virtual."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING

import numpy as np

from models.prediction import TierFailedError
from schemas import settings
from schemas.events import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.prediction import Probabilities

LIMITS = settings.Chain(tier_deadline_seconds=0.5, breaker_failures=2, breaker_open_seconds=5.0)
DEADLINE = LIMITS.tier_deadline_seconds


class Fault(enum.StrEnum):
    """How a tier is."""

    NONE = "sound"
    KILLED = "killed"
    HUNG = "hung"
    SLOW = "slow"
    NAN = "nan"
    SHAPE = "shape"
    MEMORY = "memory"


LEFT = {
    Fault.NONE: (Outcome.ANSWERED, None),
    Fault.KILLED: (Outcome.FAILED, "the connection to its server was lost"),
    Fault.HUNG: (Outcome.TIMEOUT, "no answer within 0.5 s"),
    Fault.SLOW: (Outcome.TIMEOUT, "no answer within 0.5 s"),
    Fault.NAN: (Outcome.FAILED, "its answer holds what is no number"),
    Fault.SHAPE: (Outcome.FAILED, "its answer is not of shape (20, 4)"),
    Fault.MEMORY: (Outcome.FAILED, "MemoryError"),
}
"""How the chain leaves a tier that is asked 20 texts about three intents, and why it says it did."""

WAITED = {Fault.HUNG: DEADLINE, Fault.SLOW: DEADLINE}
"""Seconds; the others are known at once."""


class FaultyTier:
    """A tier that is as it is told to be.

    Args:
        name: Its name.
        fault: How it is; may be changed at any time.
        answer: What it answers while it is sound: texts to probabilities, shape (texts, classes).
    """

    def __init__(self, name: str, fault: Fault, answer: Callable[[Sequence[str]], Probabilities]) -> None:
        self.name = name
        self.fault = fault
        self.answer = answer

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        match self.fault:
            case Fault.KILLED:
                raise TierFailedError("the connection to its server was lost")
            case Fault.HUNG:
                await asyncio.Event().wait()
            case Fault.SLOW:
                await asyncio.sleep(DEADLINE * 1.01)
            case Fault.MEMORY:
                raise MemoryError
        answer = self.answer(texts)
        if self.fault is Fault.NAN:
            answer[-1, -1] = np.nan
        return answer[:-1] if self.fault is Fault.SHAPE else answer
