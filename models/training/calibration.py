"""Fits how a tier's probabilities are to be read, on texts that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize

from models.calibration import Calibration, evidence, sigmoid

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.prediction import Probabilities

    Features = npt.NDArray[np.float64]

OUT_OF_SCOPE_SHARE = 0.01
"""How much of what is said is assumed to be out of scope. The share among texts that somebody collected says nothing
of it, so they are weighted to this; what traffic really brings moves the probabilities, not their order."""

FEWEST_BEYOND = 20
"""Out-of-scope texts; fewer tell too little."""

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
        beyond = _beyond_curve(held_out[within], held_out[~within])
    elif left_out is not None and len(left_out.inside) and len(left_out.outside) >= FEWEST_BEYOND:
        beyond = _beyond_curve(left_out.inside, left_out.outside)
    else:
        return Calibration(slope=slope, offset=offset)
    return Calibration(
        slope=slope, offset=offset, beyond_offset=beyond[0], beyond_by_best=beyond[1], beyond_by_own=beyond[2]
    )


def _best_curve(rows: Probabilities, truth: npt.NDArray[np.intp]) -> tuple[float, float]:
    share, _ = evidence(rows)
    right = rows[:, :-1].argmax(axis=1) == truth
    features = np.column_stack((np.ones_like(share), share))
    offset, slope = _logistic(features, right, np.ones(len(rows)), np.array([0.0, 1.0]), [(None, None), (0.05, 5.0)])
    return slope, offset


def _beyond_curve(inside: Probabilities, outside: Probabilities) -> tuple[float, ...]:
    """Return offset and weights; being surer of an intent never makes out-of-scope likelier."""
    features = np.concatenate([_features(rows) for rows in (inside, outside)])
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
