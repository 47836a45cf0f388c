"""Tiers that do what they are told, and a chain of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from models.chain import Chain
from schemas import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.answer import Answer
    from models.prediction import Probabilities
    from schemas.events import Outcome

LABELS = ("greeting", "refund")
REFUND = (0.1, 0.85, 0.05)
GREETING = (0.9, 0.05, 0.05)
UNSURE = (0.45, 0.35, 0.2)
OUTSIDE = (0.1, 0.1, 0.8)


class Scripted:
    """A tier that does what it is told."""

    def __init__(self, name: str, answer: Callable[[Sequence[str]], Any]) -> None:
        self.name = name
        self.calls: list[list[str]] = []
        self._answer = answer

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        self.calls.append(list(texts))
        answer = self._answer(texts)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return np.asarray(answer, np.float32)


def says(*row: float) -> Callable[[Sequence[str]], Any]:
    return lambda texts: [row] * len(texts)


def chain_of(*tiers: Any, **limits: Any) -> Chain:
    return Chain(tiers, LABELS, settings.Chain(**limits))


async def ask(chain: Chain, *order: str, texts: Sequence[str] = ("hello",), escalate: bool = True) -> list[Answer]:
    return await chain.classify(texts, order, escalate=escalate)


def outcomes(answer: Answer) -> list[tuple[str, Outcome]]:
    return [(attempt.tier, attempt.outcome) for attempt in answer.tried]
