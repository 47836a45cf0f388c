"""Tests of a coin's bias that may be looked at after every throw: beta-binomial mixtures, in closed form.

An e-value is how many times a bet against the hypothesis has multiplied its stake: the likelihood of what was thrown,
averaged over a Beta prior of biases, divided by the hypothesis's. That it ever reaches 1 / alpha has a probability of
at most alpha if the hypothesis is true (Ville 1939), so one may stop whenever one likes. Counts may be fractions, and
arrays of any one shape.

The prior is centred where the hypothesis is, and as certain of itself as `PRIOR_THROWS` throws: a compromise between
small differences seen late and large ones seen at once. The one-sided prior is its half beyond the hypothesis.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import betaincc, betaln

Numbers = npt.NDArray[np.float64]

PRIOR_THROWS = 20.0
_HAIR = 1e-12


def log_e_more(heads: npt.ArrayLike, tails: npt.ArrayLike, bias: npt.ArrayLike) -> Numbers:
    """Return the logarithm of the e-value against "heads come with a probability of `bias` at most"."""
    heads, tails = np.asarray(heads, np.float64), np.asarray(tails, np.float64)
    a, b = _prior(bias)
    with np.errstate(divide="ignore"):  # where heads are so few that no number is small enough, it is minus infinity
        side = np.log(betaincc(a + heads, b + tails, bias)) - np.log(betaincc(a, b, bias))
    return np.asarray(log_e_either(heads, tails, bias) + side)


def log_e_either(heads: npt.ArrayLike, tails: npt.ArrayLike, bias: npt.ArrayLike) -> Numbers:
    """Return the logarithm of the e-value against "heads come with a probability of `bias`"."""
    return _log_mixture(heads, tails, bias) - _log_likelihood(heads, tails, bias)


def interval(heads: float, tails: float, centre: float, alpha: float) -> tuple[float, float]:
    """Return the biases that no look has cause to reject, at 1 - alpha over all looks together.

    Args:
        heads: How many so far.
        tails: How many so far.
        centre: Where the prior is centred: a design's share, not an estimate.
        alpha: The probability with which the bias may ever be outside.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 - a worker's start would wait for it, and seldom needs it

    least = float(_log_mixture(heads, tails, centre)) + math.log(alpha)
    best = min(1 - _HAIR, max(_HAIR, heads / (heads + tails))) if heads + tails else centre

    def excess(bias: float) -> float:
        return float(_log_likelihood(heads, tails, bias)) - least

    low = brentq(excess, _HAIR, best) if excess(_HAIR) < 0 else 0.0
    high = brentq(excess, best, 1 - _HAIR) if excess(1 - _HAIR) < 0 else 1.0
    return float(low), float(high)


def _prior(centre: npt.ArrayLike) -> tuple[Numbers, Numbers]:
    middle = np.asarray(centre, np.float64)
    return PRIOR_THROWS * middle, PRIOR_THROWS * (1 - middle)


def _log_mixture(heads: npt.ArrayLike, tails: npt.ArrayLike, centre: npt.ArrayLike) -> Numbers:
    """Return the logarithm of the likelihood averaged over the prior."""
    a, b = _prior(centre)
    return np.asarray(betaln(a + np.asarray(heads), b + np.asarray(tails)) - betaln(a, b))


def _log_likelihood(heads: npt.ArrayLike, tails: npt.ArrayLike, bias: npt.ArrayLike) -> Numbers:
    return np.asarray(np.asarray(heads) * np.log(bias) + np.asarray(tails) * np.log1p(-np.asarray(bias)))
