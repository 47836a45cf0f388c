"""Walks the tiers in order until every text has an answer; whatever breaks on the way, there is one.

A batch goes to the first tier whole. The texts a tier is unsure of, or could not answer, go on to the next; where all
are unsure, the most confident answer stands. No exception leaves `Chain.classify` but cancellation.
"""

from __future__ import annotations

import asyncio
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import structlog

from models.breaker import Breaker, BreakerState
from models.observer import Observer, Unobserved
from models.prediction import (
    TierBusyError,
    TierFailedError,
    TierTimeoutError,
    TierUnavailableError,
)
from models.thresholds import UNFITTED, Thresholds
from models.walk import Turn, Walk
from schemas.events import Attempt, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    import numpy.typing as npt

    from models.answer import Answer
    from models.prediction import Probabilities, Tier
    from schemas import settings

    Rows = npt.NDArray[np.intp]

_SUM_TOLERANCE = 1e-3
_NOTHING_FITTED: Mapping[str, Thresholds] = MappingProxyType({})

_FIRST_PORTION = 256
"""Texts; a tenth of a second or two for an encoder, nothing for the rules."""

_SMALLEST_PORTION = 8
"""Texts; below that, the time left is better spent on the next tier."""

_log = structlog.get_logger(__name__)


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

    def thresholds(self, fitted: Thresholds | None, *, escalate: bool) -> Thresholds:
        """Return a tier's thresholds: those that the settings say, else those fitted, else the defaults."""
        fitted = fitted or UNFITTED
        sure, intent = self._limits.sure_confidence, self._limits.out_of_scope_confidence
        if not escalate:
            sure = 0.0
        return Thresholds(
            sure=fitted.sure if sure is None else sure,
            intent=fitted.intent if intent is None else intent,
            out_of_scope=fitted.out_of_scope,
            calibration=fitted.calibration,
        )

    async def classify(
        self,
        texts: Sequence[str],
        order: Sequence[str],
        *,
        escalate: bool = True,
        thresholds: Mapping[str, Thresholds] = _NOTHING_FITTED,
    ) -> list[Answer]:
        """Return one answer a text, in the texts' order.

        Args:
            texts: Normalised (`models.text`).
            order: The tiers to ask, by name, first to last.
            escalate: Whether texts that a tier is unsure of go on; if not, only those it could not answer.
            thresholds: What was fitted for each tier, by name; for one that is not among them, the settings count.
        """
        if not texts:
            return []
        walk = Walk(len(texts), len(self._labels) + 1)
        for name in order:
            left = walk.left()
            if not len(left):
                break
            fitted = self.thresholds(thresholds.get(name), escalate=escalate)
            async for rows, turn in self._turns(name, texts, left):
                walk.record(rows, turn, fitted)
                self._observer.tier_called(turn.attempt, len(rows))
        answers = walk.answers(self._labels)
        for tier, answered in walk.answered().items():
            self._observer.tier_answered(tier, answered)
        return answers

    async def _turns(self, name: str, texts: Sequence[str], left: Rows) -> AsyncIterator[tuple[Rows, Turn]]:
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

    async def _ask(self, name: str, texts: Sequence[str], seconds: float) -> Turn:
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

    async def _call(self, tier: Tier, texts: Sequence[str], breaker: Breaker, seconds: float) -> Turn:
        """Call a tier and tell its breaker how that went."""
        try:
            async with asyncio.timeout(seconds):
                probabilities = await tier.classify(texts)
        except asyncio.CancelledError:
            if _caller_gives_up():
                raise
            # Cancelled from inside, such as by a pool that breaks down: nobody has told us to stop.
            breaker.failed()
            return _left(tier.name, Outcome.FAILED, "its call was cancelled")
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
        return Turn(Attempt(tier=tier.name, outcome=Outcome.ANSWERED), probabilities)

    def _failed(self, tier: str, error: Exception) -> Turn:
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


def _caller_gives_up() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _too_slow(seconds: float) -> str:
    return f"no answer within {seconds:g} s"


def _left(tier: str, outcome: Outcome, reason: str) -> Turn:
    return Turn(Attempt(tier=tier, outcome=outcome, reason=reason), None)


def _timed(attempt: Attempt, seconds: float) -> Attempt:
    return Attempt(tier=attempt.tier, outcome=attempt.outcome, reason=attempt.reason, seconds=seconds)
