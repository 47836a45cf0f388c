"""One batch on its way through the tiers: which texts are left, whose answer stands, and why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.answer import NO_TIER, Answer, rank
from schemas.events import Attempt, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from models.prediction import Probabilities
    from models.thresholds import Thresholds

    Rows = npt.NDArray[np.intp]

_LEFT_BROKEN = frozenset({Outcome.TIMEOUT, Outcome.FAILED, Outcome.OPEN, Outcome.UNAVAILABLE})


class Turn(NamedTuple):
    """What one tier's turn at the texts left over gave."""

    attempt: Attempt
    probabilities: Probabilities | None


class _Taken(NamedTuple):
    """A turn that was recorded."""

    attempt: Attempt
    thresholds: Thresholds
    asked: npt.NDArray[np.bool_]
    """Shape (texts,)."""
    unsure: npt.NDArray[np.bool_]
    """Shape (texts,): asked, and answered with less confidence than stands alone."""
    confidence: npt.NDArray[np.float32]
    """Shape (texts,), of those asked."""


class Walk:
    """For each text the best row so far, and who was asked."""

    def __init__(self, texts: int, classes: int) -> None:
        self._best = np.zeros((texts, classes), np.float32)
        self._confidence = np.full(texts, -1.0, np.float32)
        self._tier = np.full(texts, -1, np.intp)
        self._settled = np.zeros(texts, np.bool_)
        self._turns: list[_Taken] = []

    def left(self) -> Rows:
        """Return the rows that go to the next tier."""
        return np.flatnonzero(~self._settled)

    def record(self, asked: Rows, turn: Turn, thresholds: Thresholds) -> None:
        """Keep what a tier says where it is sure or, of the unsure ones, the most confident so far."""
        texts = len(self._settled)
        was_asked, was_unsure = np.zeros(texts, np.bool_), np.zeros(texts, np.bool_)
        confidences = np.zeros(texts, np.float32)
        was_asked[asked] = True
        self._turns.append(_Taken(turn.attempt, thresholds, was_asked, was_unsure, confidences))
        if turn.probabilities is None:
            return
        probabilities = turn.probabilities
        if thresholds.calibration is not None:
            probabilities = thresholds.calibration.apply(probabilities)
        confidence = probabilities.max(axis=1)
        sure = confidence >= np.float32(thresholds.sure)
        better = sure | (confidence > self._confidence[asked])
        rows = asked[better]
        self._best[rows] = probabilities[better]
        self._confidence[rows] = confidence[better]
        self._tier[rows] = len(self._turns) - 1
        self._settled[asked] = sure
        was_unsure[asked[~sure]] = True
        confidences[asked] = confidence

    def answered(self) -> dict[str, int]:
        """Return how many texts each tier answered."""
        counts: dict[str, int] = {}
        for turn, answered in zip((-1, *range(len(self._turns))), np.bincount(self._tier + 1), strict=False):
            if answered:
                name = self._name(turn)
                counts[name] = counts.get(name, 0) + int(answered)
        return counts

    def answers(self, labels: Sequence[str]) -> list[Answer]:
        """Decide every text. Texts that went the same way share the record of it, but for what they were unsure of."""
        # The last of each is what a text meets that no tier answered: it is out of scope.
        intent = np.array([*(taken.thresholds.intent for taken in self._turns), 1.0])[self._tier]
        beyond = np.array([*(taken.thresholds.out_of_scope for taken in self._turns), 1.0])[self._tier]
        rankings = rank(self._best, labels, intent, beyond)
        ways: dict[tuple[int, ...], tuple[str, tuple[Attempt, ...], bool]] = {}
        columns = (column for taken in self._turns for column in (taken.asked, taken.unsure))
        steps = np.column_stack([*columns, self._tier]).tolist()
        answers = []
        for row, (ranking, way) in enumerate(zip(rankings, map(tuple, steps), strict=True)):
            if way not in ways:
                ways[way] = self._way(way)
            tier, tried, degraded = ways[way]
            answers.append(
                Answer(
                    intent=ranking.intent,
                    confidence=ranking.confidence,
                    out_of_scope=ranking.out_of_scope,
                    alternatives=ranking.alternatives if tier != NO_TIER else (),
                    tier=tier,
                    tried=self._explained(row, way, tried) if any(way[1:-1:2]) else tried,
                    degraded=degraded,
                )
            )
        return answers

    def _way(self, way: tuple[int, ...]) -> tuple[str, tuple[Attempt, ...], bool]:
        """Return who answered, each turn, and whether one was lost, of a way as `answers` writes it down."""
        tier = way[-1]
        tried = tuple(_stood(taken) for taken, asked in zip(self._turns, way[:-1:2], strict=True) if asked)
        broken = tier < 0 or any(attempt.outcome in _LEFT_BROKEN for attempt in tried)
        return self._name(tier), tried, broken

    def _explained(self, row: int, way: tuple[int, ...], tried: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        """Return the turns of a text that some tier was unsure of, with what each lacked."""
        asked = [position for position, was_asked in enumerate(way[:-1:2]) if was_asked]
        return tuple(
            _unsure(self._turns[position], float(self._turns[position].confidence[row]), stands=position == way[-1])
            if way[2 * position + 1]
            else attempt
            for position, attempt in zip(asked, tried, strict=True)
        )

    def _name(self, turn: int) -> str:
        return NO_TIER if turn < 0 else self._turns[turn].attempt.tier


def _stood(taken: _Taken) -> Attempt:
    """Return the turn of a tier that was sure enough, or could not answer."""
    attempt, sure = taken.attempt, taken.thresholds.sure
    if attempt.outcome is not Outcome.ANSWERED or sure <= 0:
        return attempt
    return Attempt(
        tier=attempt.tier, outcome=attempt.outcome, reason=f"at least {sure:.3f} sure", seconds=attempt.seconds
    )


def _unsure(taken: _Taken, confidence: float, *, stands: bool) -> Attempt:
    """Return the turn of a tier that was less sure than stands alone."""
    shown = math.floor(confidence * 1000) / 1000  # never up to the threshold, nor past it
    reason = f"{shown:.3f} sure, less than the {taken.thresholds.sure:.3f} that stands alone"
    if stands:
        return Attempt(
            tier=taken.attempt.tier,
            outcome=Outcome.ANSWERED,
            reason=f"{reason}; nobody was surer",
            seconds=taken.attempt.seconds,
        )
    return Attempt(tier=taken.attempt.tier, outcome=Outcome.UNSURE, reason=reason, seconds=taken.attempt.seconds)
