"""How many utterances it takes until a difference that is there is found.

The evidence of a sequential test grows by a drift and a spread an observation; it is there when it has made up for
alpha and for the prior's price, half the logarithm of how much is known. These are approximations, to plan with.
"""

from __future__ import annotations

import math

from scipy.special import ndtri

from flags.statistics.coin import PRIOR_THROWS
from flags.statistics.normal import PRIOR_SPREAD

USUAL_POWER = 0.8
"""How probably the difference is found by then."""

_FIRST_LEVEL = 0.7  # of alpha, as in `flags.statistics.affected`
_MOST = 1e12


def utterances_for_rate(
    *, baseline: float, ratio: float, share: float, alpha: float, power: float = USUAL_POWER
) -> float:
    """Return how many utterances of both arms are needed to find that an event meets the treated more, or less, often.

    Args:
        baseline: Events an utterance of the control, above 0 and below 1; of users who are met once.
        ratio: How many times as often it meets the treated; not 1.
        share: Of the treated in both arms.
        alpha: Of the one-sided test.
        power: How probably it is to be found.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 - a worker's start would wait for it

    bias = ratio * share / (ratio * share + 1 - share)
    up, down = math.log(bias / share), math.log((1 - bias) / (1 - share))
    drift = bias * up + (1 - bias) * down
    spread = math.sqrt(bias * (1 - bias)) * abs(up - down)
    price = math.log(1 / (alpha * _FIRST_LEVEL))
    quantile = float(ndtri(power))

    def excess(met: float) -> float:
        return met * drift - quantile * spread * math.sqrt(met) - price - 0.5 * math.log1p(met / PRIOR_THROWS)

    met = brentq(excess, 1e-9, _MOST)
    return float(met) / (baseline * (ratio * share + 1 - share))


def utterances_for_mean(*, log_ratio: float, spread: float, alpha: float, power: float = USUAL_POWER) -> float:
    """Return how many utterances of both arms are needed to find that something takes longer, or costs more.

    Infinite: more than anybody will ever have.

    Args:
        log_ratio: Natural logarithm of the ratio that is to be found; not 0.
        spread: The standard error of the logarithm's estimate, times the root of the utterances behind it.
        alpha: Of the one-sided test.
        power: How probably it is to be found.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 - a worker's start would wait for it

    quantile = float(ndtri(power))

    def excess(utterances: float) -> float:
        error = spread / math.sqrt(utterances)
        weight = PRIOR_SPREAD**2 / (PRIOR_SPREAD**2 + error**2)
        z = abs(log_ratio) / error - quantile
        return 0.5 * weight * max(0.0, z) ** 2 + 0.5 * math.log1p(-weight) - math.log(1 / alpha)

    if excess(_MOST) < 0:
        return math.inf
    return float(brentq(excess, 1.0, _MOST)) if excess(1.0) < 0 else 1.0
