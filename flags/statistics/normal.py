"""Tests of an estimate with a standard error that may be repeated as evidence grows: normal mixtures.

An estimate that gathers evidence moves like a Brownian motion in the time of its information, 1 / se^2, also where
users come back and their events are correlated, as long as the standard error says so. The bet against "it is 0" is
averaged over a normal prior of effects (Robbins 1970; as confidence sequences for means of unknown variance: Waudby-
Smith, Arbour, Sinha, Kennedy and Ramdas 2021). Valid in the limit, that is: with enough groups behind the standard
error; with few of them, the quotient is read as Student's t.
"""

from __future__ import annotations

import math

from scipy.special import log_ndtr, ndtr, ndtri, stdtr, stdtrit

PRIOR_SPREAD = 0.2
"""Of the logarithm of a ratio: effects of about a fifth are those to be found soonest."""


def log_e_either(estimate: float, error: float, groups: int) -> float:
    """Return the logarithm of the e-value against "it is 0".

    Args:
        estimate: Of something like a logarithm of a ratio.
        error: Its standard error, above 0.
        groups: Behind the standard error.
    """
    z, weight = _z(estimate / error, groups), _weight(error)
    return 0.5 * math.log1p(-weight) + 0.5 * weight * z * z


def log_e_more(estimate: float, error: float, groups: int) -> float:
    """Return the logarithm of the e-value against "it is 0 at most": the prior's half above it."""
    z, weight = _z(estimate / error, groups), _weight(error)
    return log_e_either(estimate, error, groups) + math.log(2) + float(log_ndtr(z * math.sqrt(weight)))


def half_width(error: float, groups: int, alpha: float) -> float:
    """Return how far on either side of the estimate the confidence sequence reaches, at 1 - alpha over all looks."""
    weight = _weight(error)
    z = math.sqrt((2 * math.log(1 / alpha) - math.log1p(-weight)) / weight)
    return error * float(-stdtrit(groups - 1, ndtr(-z)))


def _weight(error: float) -> float:
    """Return how much of what is seen is not the standard error's, if effects are as the prior says: 0 to 1."""
    return PRIOR_SPREAD**2 / (PRIOR_SPREAD**2 + error**2)


def _z(quotient: float, groups: int) -> float:
    """Return the normal deviate as probable as this one of Student's."""
    return math.copysign(float(-ndtri(stdtr(groups - 1, -abs(quotient)))), quotient)
