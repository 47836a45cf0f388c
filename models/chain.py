"""Walks the tiers in order until every text has an answer; whatever breaks on the way, there is one.

A batch goes to the first tier whole. The texts a tier is unsure of, or could not answer, go on to the next; in the end
the most confident answer stands. No exception leaves `Chain.classify` but cancellation.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import structlog

from models.answer import NO_TIER, Answer, rank
from models.breaker import Breaker, BreakerState
from models.observer import Observer, Unobserved
from models.prediction import (
    Probabilities,
    TierBusyError,
    TierFailedError,
    TierTimeoutError,
    TierUnavailableError,
)
from schemas.events import Attempt, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import numpy.typing as npt

    from models.prediction import Tier
    from schemas import settings

    Rows = npt.NDArray[np.intp]

_SUM_TOLERANCE = 1e-3
_LEFT_BROKEN = frozenset({Outcome.TIMEOUT, Outcome.FAILED, Outcome.OPEN, Outcome.UNAVAILABLE})

_FIRST_PORTION = 256
"""Texts; a tenth of a second or two for an encoder, nothing for the rules."""

_SMALLEST_PORTION = 8
"""Texts; below that, the time left is better spent on the next tier."""

_log = structlog.get_logger(__name__)


class _Turn(NamedTuple):
    """What one tier's turn at the texts left over gave."""

    attempt: Attempt
    probabilities: Probabilities | None


class Chain:
    """The tiers, each behind a deadline and a breaker."""

    def __init__(
        self,
        tiers: Sequence[Tier],
        labels: Sequence[str],
        limits: settings.Chain,
        *,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer | None = None,
    ) -> None:
        """Take what to walk.

        Args:
            tiers: Each with a name of its own; the order of a walk is each call's.
            labels: The catalogue's intents, in the order of the tiers' columns.
            limits: Deadline, breaker and thresholds.
            clock: Monotonic seconds.
            observer: Is told of each turn.
        """
        self._tiers = {tier.name: tier for tier in tiers}
        self._labels = tuple(labels)
        self._limits = limits
        self._clock = clock
        self._observer = observer or Unobserved()
        self._breakers = {
            name: Breaker(failures=limits.breaker_failures, open_seconds=limits.breaker_open_seconds, clock=clock)
            for name in self._tiers
        }

    @property
    def breakers(self) -> dict[str, BreakerState]:
        """Return each tier's breaker as it stands."""
        return {name: breaker.state for name, breaker in self._breakers.items()}

    async def classify(self, texts: Sequence[str], order: Sequence[str], *, escalate: bool = True) -> list[Answer]:
        """Return one answer a text, in the texts' order.

        Args:
            texts: Normalised (`models.text`).
            order: The tiers to ask, by name, first to last.
            escalate: Whether texts that a tier is unsure of go on; if not, only those it could not answer.
        """
        if not texts:
            return []
        walk = _Walk(len(texts), len(self._labels) + 1)
        for name in order:
            left = walk.left()
            if not len(left):
                break
            sure = self._limits.sure_confidence if escalate else 0.0
            async for rows, turn in self._turns(name, texts, left):
                walk.record(rows, turn, sure)
                self._observer.tier_called(name, turn.attempt.outcome, len(rows), turn.attempt.seconds)
        answers = walk.answers(self._labels, self._limits.out_of_scope_confidence)
        for tier, answered in walk.answered().items():
            self._observer.tier_answered(tier, answered)
        return answers

    async def _turns(self, name: str, texts: Sequence[str], left: Rows) -> AsyncIterator[tuple[Rows, _Turn]]:
        """Give one tier the texts left over, in portions, until its deadline; what it has answered by then counts.

        The first portion is small and shows how fast the tier is. Each next one is as large as half of the time left
        allows: a fast tier gets all the rest at once, and a call that would be cut off by the deadline, and keep the
        tier busy for nobody, is hardly ever made.
        """
        seconds = self._limits.tier_deadline_seconds
        deadline = self._clock() + seconds
        size = _FIRST_PORTION
        while len(left):
            rows, left = left[:size], left[size:]
            turn = await self._ask(name, [texts[row] for row in rows], deadline - self._clock())
            yield rows, turn
            time_left = deadline - self._clock()
            size = int(len(rows) / max(turn.attempt.seconds, 1e-6) * time_left / 2)
            if len(left) and (turn.probabilities is None or size < _SMALLEST_PORTION):
                lost = turn if turn.probabilities is None else _left(name, Outcome.TIMEOUT, _too_slow(seconds))
                yield left, lost
                return

    async def _ask(self, name: str, texts: Sequence[str], seconds: float) -> _Turn:
        """Give one tier one turn, within the time there is and its breaker."""
        tier = self._tiers.get(name)
        if tier is None:
            return _left(name, Outcome.UNAVAILABLE, "there is no such tier")
        breaker = self._breakers[name]
        before = breaker.state
        if not breaker.admit():
            return _left(name, Outcome.OPEN, "it failed too often; it is tried again soon")
        started = self._clock()
        try:
            turn = await self._call(tier, texts, breaker, seconds)
        except asyncio.CancelledError:
            breaker.released()
            raise
        if breaker.state is not before:
            self._observer.breaker_changed(name, breaker.state)
            _log.warning("tier_breaker_changed", tier=name, state=breaker.state, reason=turn.attempt.reason)
        return turn._replace(attempt=_timed(turn.attempt, max(0.0, self._clock() - started)))

    async def _call(self, tier: Tier, texts: Sequence[str], breaker: Breaker, seconds: float) -> _Turn:
        """Call a tier and tell its breaker how that went."""
        try:
            async with asyncio.timeout(seconds):
                probabilities = await tier.classify(texts)
        except TierUnavailableError as error:
            breaker.released()
            return _left(tier.name, Outcome.UNAVAILABLE, str(error))
        except Exception as error:  # noqa: BLE001 - the guard of the chain: a tier's bug is the next tier's turn
            breaker.failed()
            return self._failed(tier.name, error)
        if fault := fault_of(probabilities, (len(texts), len(self._labels) + 1)):
            breaker.failed()
            return _left(tier.name, Outcome.FAILED, fault)
        breaker.succeeded()
        return _Turn(Attempt(tier=tier.name, outcome=Outcome.ANSWERED), probabilities)

    def _failed(self, tier: str, error: Exception) -> _Turn:
        """Say what was wrong with a tier that raised."""
        match error:
            case TierBusyError():
                return _left(tier, Outcome.UNAVAILABLE, str(error))
            case TierTimeoutError():
                return _left(tier, Outcome.TIMEOUT, str(error))
            case TierFailedError():
                return _left(tier, Outcome.FAILED, str(error))
            case TimeoutError():
                return _left(tier, Outcome.TIMEOUT, _too_slow(self._limits.tier_deadline_seconds))
            case _:
                _log.warning("tier_failed", tier=tier, error=type(error).__name__)
                # An error's message may quote the text that caused it; its type cannot.
                return _left(tier, Outcome.FAILED, type(error).__name__)


def fault_of(probabilities: Probabilities, shape: tuple[int, int]) -> str | None:
    """Say why a tier's answer is none, or return None where it can be used."""
    if not isinstance(probabilities, np.ndarray) or probabilities.shape != shape:
        return f"its answer is not of shape {shape}"
    if not np.issubdtype(probabilities.dtype, np.floating) or not np.isfinite(probabilities).all():
        return "its answer holds what is no number"
    if (probabilities < -_SUM_TOLERANCE).any() or (np.abs(probabilities.sum(axis=1) - 1) > _SUM_TOLERANCE).any():
        return "its answer holds rows that are no probabilities"
    return None


def _too_slow(seconds: float) -> str:
    return f"no answer within {seconds:g} s"


def _left(tier: str, outcome: Outcome, reason: str) -> _Turn:
    return _Turn(Attempt(tier=tier, outcome=outcome, reason=reason), None)


def _timed(attempt: Attempt, seconds: float) -> Attempt:
    return Attempt(tier=attempt.tier, outcome=attempt.outcome, reason=attempt.reason, seconds=seconds)


class _Walk:
    """One batch on its way through the tiers: for each text the best row so far, and who was asked."""

    def __init__(self, texts: int, classes: int) -> None:
        self._best = np.zeros((texts, classes), np.float32)
        self._confidence = np.full(texts, -1.0, np.float32)
        self._tier = np.full(texts, -1, np.intp)
        self._settled = np.zeros(texts, np.bool_)
        self._turns: list[tuple[_Turn, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]] = []

    def left(self) -> npt.NDArray[np.intp]:
        """Return the rows that go to the next tier."""
        return np.flatnonzero(~self._settled)

    def record(self, asked: npt.NDArray[np.intp], turn: _Turn, sure: float) -> None:
        """Keep what a tier says where it is more confident than those before it."""
        texts = len(self._settled)
        was_asked, unsure = np.zeros(texts, np.bool_), np.zeros(texts, np.bool_)
        was_asked[asked] = True
        self._turns.append((turn, was_asked, unsure))
        if turn.probabilities is None:
            return
        confidence = turn.probabilities.max(axis=1)
        better = confidence > self._confidence[asked]
        rows = asked[better]
        self._best[rows] = turn.probabilities[better]
        self._confidence[rows] = confidence[better]
        self._tier[rows] = len(self._turns) - 1
        self._settled[asked] = confidence >= sure
        unsure[asked[confidence < sure]] = True

    def answered(self) -> dict[str, int]:
        """Return how many texts each tier answered."""
        counts: dict[str, int] = {}
        for turn, answered in zip((-1, *range(len(self._turns))), np.bincount(self._tier + 1), strict=False):
            if answered:
                counts[self._name(turn)] = int(answered)
        return counts

    def answers(self, labels: Sequence[str], out_of_scope_below: float) -> list[Answer]:
        """Decide every text. Texts that went the same way share the record of it."""
        rankings = rank(self._best, labels, out_of_scope_below)
        ways: dict[tuple[bool | int, ...], tuple[str, tuple[Attempt, ...], bool]] = {}
        taken = np.column_stack([*(column for turn in self._turns for column in turn[1:]), self._tier]).tolist()
        answers = []
        for ranking, way in zip(rankings, map(tuple, taken), strict=True):
            if way not in ways:
                ways[way] = self._way(way)
            tier, tried, degraded = ways[way]
            answers.append(
                Answer(
                    intent=ranking.intent,
                    confidence=ranking.confidence,
                    alternatives=ranking.alternatives if tier != NO_TIER else (),
                    tier=tier,
                    tried=tried,
                    degraded=degraded,
                )
            )
        return answers

    def _way(self, way: tuple[bool | int, ...]) -> tuple[str, tuple[Attempt, ...], bool]:
        """Return who answered, each turn, and whether one was lost, of a way as `answers` writes it down."""
        tier = int(way[-1])
        tried = []
        for position, (turn, *_) in enumerate(self._turns):
            asked, unsure = way[2 * position], way[2 * position + 1]
            if asked and unsure and position != tier:
                tried.append(_unsure(turn.attempt))
            elif asked:
                tried.append(turn.attempt)
        broken = tier < 0 or any(attempt.outcome in _LEFT_BROKEN for attempt in tried)
        return self._name(tier), tuple(tried), broken

    def _name(self, turn: int) -> str:
        return NO_TIER if turn < 0 else self._turns[turn][0].attempt.tier


def _unsure(attempt: Attempt) -> Attempt:
    return Attempt(
        tier=attempt.tier,
        outcome=Outcome.UNSURE,
        reason="less sure than it should be to stand alone",
        seconds=attempt.seconds,
    )
