"""Tests of a coin's bias that may be looked at after every throw: beta-binomial mixtures, in closed form.

An e-value is how many times a bet against the hypothesis has multiplied its stake: the likelihood of what was thrown,
averaged over a Beta prior of biases, divided by the hypothesis's. That it ever reaches 1 / alpha has a probability of
at most alpha if the hypothesis is true (Ville 1939), so one may stop whenever one likes. Counts may be fractions.

The prior is centred where the hypothesis is, and as certain of itself as `PRIOR_THROWS` throws: a compromise between
small differences seen late and large ones seen at once. The one-sided prior is its half beyond the hypothesis.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import betaincc, betaln

PRIOR_THROWS = 20.0
_HAIR = 1e-12


def log_e_more(heads: float, tails: float, bias: float) -> float:
    """Return the logarithm of the e-value against "heads come with a probability of `bias` at most"."""
    a, b = _prior(bias)
    posterior = float(betaincc(a + heads, b + tails, bias))
    if posterior <= 0:  # so far on the other side that no number is small enough
        return -math.inf
    return log_e_either(heads, tails, bias) + math.log(posterior) - math.log(float(betaincc(a, b, bias)))


def log_e_either(heads: float, tails: float, bias: float) -> float:
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
    least = _log_mixture(heads, tails, centre) + math.log(alpha)
    best = min(1 - _HAIR, max(_HAIR, heads / (heads + tails))) if heads + tails else centre

    def excess(bias: float) -> float:
        return _log_likelihood(heads, tails, bias) - least

    low = brentq(excess, _HAIR, best) if excess(_HAIR) < 0 else 0.0
    high = brentq(excess, best, 1 - _HAIR) if excess(1 - _HAIR) < 0 else 1.0
    return float(low), float(high)


def _prior(centre: float) -> tuple[float, float]:
    return PRIOR_THROWS * centre, PRIOR_THROWS * (1 - centre)


def _log_mixture(heads: float, tails: float, centre: float) -> float:
    """Return the logarithm of the likelihood averaged over the prior."""
    a, b = _prior(centre)
    return float(betaln(a + heads, b + tails) - betaln(a, b))


def _log_likelihood(heads: float, tails: float, bias: float) -> float:
    return heads * math.log(bias) + tails * math.log1p(-bias)
