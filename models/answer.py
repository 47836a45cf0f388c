"""What the chain answers for one text, and how a row of probabilities becomes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from schemas.events import Alternative, Attempt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from models.prediction import Probabilities

    _Limits = npt.NDArray[np.float64]

MAX_ALTERNATIVES = 3
NO_TIER = "none"
"""The tier of an answer that no tier gave."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One text's intent.

    Attributes:
        intent: A name from the catalogue; None is out of scope.
        confidence: Calibrated; of an out-of-scope answer, the probability that it is.
        out_of_scope: The probability of that, whatever the answer is.
        alternatives: The next best candidates, best first.
        tier: Which tier answered.
        tried: Every tier's turn, in order.
        degraded: Whether a tier that was asked could not answer.
        cached: Whether the answer was remembered.
        lesson: The revision of the lesson that decided, where people's corrections did.
    """

    intent: str | None
    confidence: float
    out_of_scope: float = 0.0
    alternatives: tuple[Alternative, ...] = ()
    tier: str
    tried: tuple[Attempt, ...] = ()
    degraded: bool = False
    cached: bool = False
    lesson: int | None = None


class Ranking(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of probabilities, decided."""

    intent: str | None
    confidence: float
    out_of_scope: float
    alternatives: tuple[Alternative, ...]


def rank(probabilities: Probabilities, labels: Sequence[str], least: _Limits, beyond_from: _Limits) -> list[Ranking]:
    """Decide each row: the likeliest of the intents and out-of-scope, and the candidates behind it.

    Args:
        probabilities: Shape (texts, labels + 1).
        labels: The intents, in the columns' order.
        least: Shape (texts,): a row with no candidate as likely as this is out of scope.
        beyond_from: Shape (texts,): so is a row whose last column is this or more.
    """
    shown = min(MAX_ALTERNATIVES + 1, probabilities.shape[1])
    best = np.argpartition(-probabilities, shown - 1, axis=1)[:, :shown]
    order = np.argsort(-np.take_along_axis(probabilities, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    values = np.clip(np.take_along_axis(probabilities, best, axis=1), 0, 1)
    outside = np.clip(probabilities[:, -1], 0, 1)
    within = (values[:, 0] >= least) & (outside < beyond_from)
    names = (*labels, None)
    return [
        _decide([names[column] for column in columns], likely, beyond, inside=inside)
        for columns, likely, beyond, inside in zip(
            best.tolist(), values.tolist(), outside.tolist(), within.tolist(), strict=True
        )
    ]


def _decide(names: list[str | None], likely: list[float], beyond: float, *, inside: bool) -> Ranking:
    candidates = [
        Alternative(intent=name, confidence=confidence) for name, confidence in zip(names, likely, strict=True)
    ]
    if inside:
        chosen = candidates.pop(0)
    else:
        chosen = Alternative(intent=None, confidence=beyond)
        candidates = [candidate for candidate in candidates if candidate.intent is not None]
    return Ranking(
        intent=chosen.intent,
        confidence=chosen.confidence,
        out_of_scope=beyond,
        alternatives=tuple(candidates[:MAX_ALTERNATIVES]),
    )
