"""Fits how a tier's probabilities are to be read, on texts that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize

from models.calibration import Beyond, Calibration, evidence, loudness, sigmoid

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.prediction import Probabilities

    Features = npt.NDArray[np.float64]

OUT_OF_SCOPE_SHARE = 0.01
"""How much of what is said is assumed to be out of scope. The share among texts that somebody collected says nothing
of it, so they are weighted to this; what traffic really brings moves the probabilities, not their order."""

FEWEST_BEYOND = 20
"""Out-of-scope texts; fewer tell too little."""

_CHANCE = 5.991
"""What twice the log likelihood wins by two useless numbers in 1 of 20 cases: chi-squared's 95 % (Wilks 1938)."""

_RIDGE = 1.0
"""Weight of staying as it was, in texts; what few texts say counts little."""


class LeftOut(NamedTuple):
    """What a tier that was trained without some intents says: how one sees what is beyond, where no text shows it."""

    inside: Probabilities
    """Of texts whose intents it was trained on, but not on them."""
    outside: Probabilities
    """Of texts of the intents it was not trained on."""


def fit_calibration(held_out: Probabilities, truth: npt.NDArray[np.intp], left_out: LeftOut | None) -> Calibration:
    """Return the calibration with the least log loss.

    Args:
        held_out: A tier's rows of texts it was not trained on.
        truth: Shape (texts,): the column of each; the last is out of scope.
        left_out: Where there are too few out-of-scope texts, what stands for them.
    """
    within = truth < held_out.shape[1] - 1
    slope, offset = _best_curve(held_out[within], truth[within])
    if within.sum() and (~within).sum() >= FEWEST_BEYOND:
        beyond = _beyond_curve(_features(held_out[within]), _features(held_out[~within]))
    elif left_out is not None and len(left_out.inside) and len(left_out.outside) >= FEWEST_BEYOND:
        beyond = _beyond_curve(_features(left_out.inside), _features(left_out.outside))
    else:
        return Calibration(slope=slope, offset=offset)
    return Calibration(
        slope=slope, offset=offset, beyond_offset=beyond[0], beyond_by_best=beyond[1], beyond_by_own=beyond[2]
    )


def fit_beyond(logits: npt.NDArray[np.float32], truth: npt.NDArray[np.intp]) -> Beyond | None:
    """Return what tells out-of-scope by logits; None where there are too few texts of either kind to learn it from.

    Args:
        logits: Shape (texts, classes), of texts that were not trained on.
        truth: Shape (texts,): the column of each; the last is out of scope.
    """
    within = truth < logits.shape[1] - 1
    if not within.any() or (~within).sum() < FEWEST_BEYOND:
        return None
    level, own = loudness(logits)
    features = np.column_stack((np.ones_like(level), level, own))
    offset, by_level, by_own = _beyond_curve(features[within], features[~within])
    return Beyond(offset=offset, by_level=by_level, by_own=by_own)


def _best_curve(rows: Probabilities, truth: npt.NDArray[np.intp]) -> tuple[float, float]:
    """Return slope and offset; those that change nothing, unless the texts speak against them by more than chance.

    A tier is calibrated when it is made, and what two numbers win on a few texts more may be their noise.
    """
    share, _ = evidence(rows)
    right = rows[:, :-1].argmax(axis=1) == truth
    features = np.column_stack((np.ones_like(share), share))
    as_is = np.array([0.0, 1.0])
    found = np.array(_logistic(features, right, np.ones(len(rows)), as_is, [(None, None), (0.05, 5.0)]))
    gain = _log_likelihood(features @ found, right) - _log_likelihood(share, right)
    offset, slope = found if 2 * gain > _CHANCE else as_is
    return float(slope), float(offset)


def _log_likelihood(logits: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float:
    return float((truth * logits - np.logaddexp(0, logits)).sum())


def _beyond_curve(inside: Features, outside: Features) -> tuple[float, ...]:
    """Return offset and weights; being surer of an intent never makes out-of-scope likelier."""
    features = np.concatenate((inside, outside))
    is_beyond = np.arange(len(features)) >= len(inside)
    weights = np.where(
        is_beyond,
        OUT_OF_SCOPE_SHARE * len(features) / len(outside),
        (1 - OUT_OF_SCOPE_SHARE) * len(features) / len(inside),
    )
    return _logistic(features, is_beyond, weights, np.zeros(3), [(None, None), (None, 0.0), (0.0, None)])


def _features(rows: Probabilities) -> Features:
    share, own = evidence(rows)
    return np.column_stack((np.ones_like(share), share, own))


def _logistic(
    features: Features,
    truth: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.float64],
    usual: npt.NDArray[np.float64],
    bounds: list[tuple[float | None, float | None]],
) -> tuple[float, ...]:
    """Return the coefficients of a weighted logistic regression that is held near the usual ones."""

    def loss(coefficients: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        logits = features @ coefficients
        away = coefficients - usual
        value = (weights * (np.logaddexp(0, logits) - truth * logits)).sum() + _RIDGE * (away**2).sum() / 2
        slope = features.T @ (weights * (sigmoid(logits) - truth)) + _RIDGE * away
        return float(value), slope

    found = minimize(loss, usual, jac=True, bounds=bounds, method="L-BFGS-B")
    return tuple(float(coefficient) for coefficient in found.x)
