"""Fits the policy of a chain: calibrations, the cascade's thresholds for a target, out-of-scope, and the promise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from models.policy import Policy, TierPolicy
from models.router import DISTILBERT, RULES, ZERO_SHOT, route
from models.training.calibration import LeftOut, fit_calibration
from models.training.promise import least_choice, least_confidence
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from models.prediction import Probabilities
    from models.thresholds import Thresholds

    Rows = Mapping[str, Probabilities]
    Truth = npt.NDArray[np.intp]

_STANDARD_ERRORS = 2.0

PROMISE = 0.99
"""What is promised where nobody asks for another."""


class Targets(NamedTuple):
    """What thresholds are fitted for."""

    tolerated_loss: float = 0.001
    """Accuracy that the cascade may give up against the tier it would ask next."""
    escalated_share: float | None = None
    """Instead of that: the share of texts that may go on to it."""
    out_of_scope_loss: float = 0.015
    """The share of texts whose right answer may be given up for out-of-scope."""
    promise: float = PROMISE


USUAL_TARGETS = Targets()


class Standing(NamedTuple):
    """How a route answers texts."""

    rows: Probabilities
    """Of the tier that answers each."""
    answered: npt.NDArray[np.intp]
    """Shape (texts,): the column, the last being out of scope."""
    tier: npt.NDArray[np.intp]
    """Shape (texts,): the place of the tier in the route's order."""

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """Return shape (texts,), of the answers."""
        confidence: npt.NDArray[np.float32] = self.rows[np.arange(len(self.rows)), self.answered]
        return confidence


def fit_policy(held_out: Rows, truth: Truth, targets: Targets, left_out: Mapping[str, LeftOut]) -> Policy:
    """Return what the held-out texts teach.

    Args:
        held_out: By tier, its rows of texts that no tier was trained on.
        truth: Shape (texts,): the column of each; the last is out of scope.
        targets: What to fit for.
        left_out: By tier, what stands for out-of-scope texts where there are few.
    """
    within = truth < next(iter(held_out.values())).shape[1] - 1
    calibrations = {name: fit_calibration(rows, truth, left_out.get(name)) for name, rows in held_out.items()}
    calibrated = {name: calibrations[name].apply(rows) for name, rows in held_out.items()}
    right = {name: (rows[:, :-1].argmax(axis=1) == truth)[within] for name, rows in calibrated.items()}
    ranking = _ranking(right)
    tiers = {}
    for place, name in enumerate(ranking):
        rows, better = calibrated[name], ranking[:place]
        confidence = rows[within].max(axis=1)
        tiers[name] = TierPolicy(
            accuracy=round(float(right[name].mean()), 4),
            calibration=calibrations[name],
            out_of_scope=_out_of_scope(rows[within, -1], right[name], targets.out_of_scope_loss),
            sure_before={other: _sure(confidence, right[name], right[other], targets) for other in better},
        )
    policy = Policy(tiers=tiers, texts=len(truth), promise=targets.promise)
    return _with_promises(policy, held_out, truth)


def _ranking(right: Mapping[str, npt.NDArray[np.bool_]]) -> list[str]:
    """Return the tiers, the best first; a cheaper one is better only where that is more than chance.

    Args:
        right: By tier, shape (texts,), whether its best intent is right.
    """
    ranking: list[str] = []
    for name in (each for each in (DISTILBERT, ZERO_SHOT, RULES) if each in right):
        place = len(ranking)
        while place and _is_better(right[name], right[ranking[place - 1]]):
            place -= 1
        ranking.insert(place, name)
    return ranking


def _is_better(right: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> bool:
    """Say whether one is right more often on the same texts, by more than two standard errors of the difference."""
    only, only_other = int((right & ~other).sum()), int((other & ~right).sum())
    return only - only_other > _STANDARD_ERRORS * math.sqrt(only + only_other)


def stand(policy: Policy, strategy: Strategy, held_out: Rows) -> Standing:
    """Return how a strategy answers, by what each tier says; every tier there is answers in time."""
    asked = route(strategy, distilbert=DISTILBERT in held_out, zero_shot=ZERO_SHOT in held_out)
    plan = policy.plan(asked)
    order = [name for name in plan.route.order if name in held_out]
    texts = len(held_out[order[0]])
    rows, tier = np.zeros_like(held_out[order[0]]), np.full(texts, -1, np.intp)
    answered = np.zeros(texts, np.intp)
    for place, name in enumerate(order):
        limits = plan.thresholds[name]
        said = limits.calibration.apply(held_out[name]) if limits.calibration else held_out[name]
        last = place == len(order) - 1 or not plan.route.escalate
        standing = (tier < 0) & ((said.max(axis=1) >= limits.sure) | last)
        rows[standing], tier[standing] = said[standing], place
        answered[standing] = _decide(said[standing], limits)
    return Standing(rows, answered, tier)


def _decide(rows: Probabilities, limits: Thresholds) -> npt.NDArray[np.intp]:
    beyond = rows[:, -1] >= limits.out_of_scope
    columns: npt.NDArray[np.intp] = np.where(beyond, rows.shape[1] - 1, rows.argmax(axis=1))
    return columns


def _sure(
    confidence: npt.NDArray[np.float32],
    right: npt.NDArray[np.bool_],
    next_right: npt.NDArray[np.bool_],
    targets: Targets,
) -> float:
    """Return the least confidence at which an answer may stand, for the target; to three places, rounded up."""
    order = np.argsort(-confidence, kind="stable")
    if targets.escalated_share is not None:
        standing = len(order) - math.floor(targets.escalated_share * len(order))
    else:
        lost = np.cumsum(next_right[order].astype(np.intp) - right[order]) / len(order)
        # As far as the loss stays within what is tolerated all the way: a later dip is luck.
        too_much = np.flatnonzero(lost > targets.tolerated_loss)
        standing = int(too_much[0]) if len(too_much) else len(order)
    if standing == len(order):
        return 0.0
    first_to_go = float(confidence[order[standing]])
    return min(1.0, math.floor(first_to_go * 1000 + 1) / 1000)


def _out_of_scope(beyond: npt.NDArray[np.float32], right: npt.NDArray[np.bool_], loss: float) -> float:
    """Return from where on out-of-scope is the answer, so that at most a share `loss` loses a right one.

    Where that would be less than a text, they are too few to tell, and out-of-scope must be the likeliest.
    """
    if loss * len(beyond) < 1:
        return TierPolicy(accuracy=0.0).out_of_scope
    endangered = np.sort(beyond[right])[::-1]
    given_up = math.floor(loss * len(beyond))
    return float(np.nextafter(endangered[given_up], np.float32(1))) if given_up < len(endangered) else 0.0


def _with_promises(policy: Policy, held_out: Rows, truth: Truth) -> Policy:
    automatic, choices = {}, {}
    for strategy in Strategy:
        standing = stand(policy, strategy, held_out)
        right = standing.answered == truth
        automatic[strategy.value] = least_confidence(standing.confidence, right, policy.promise)
        choices[strategy.value] = least_choice(standing.rows, truth, policy.promise)
    return msgspec.structs.replace(policy, automatic=automatic, choices=choices)
