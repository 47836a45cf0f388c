"""Which arm the users fall in whom an event has met: the test of rates.

Chance puts a user into the treated arm with the probability of its share, whatever happens to the user afterwards. So
if being treated changes nothing, each user whom an event meets for the first time is one of the treated with exactly
that probability, and independently of the others: however often the same user is met again, however the rate moves in
the course of a day, however unequal users are. What remains is a coin thrown once a user, and its bias is tested by a
mixture martingale (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021) over conditional counts, as Lindon and
Malek (2022) do for sample ratios and counting processes. It may be looked at after every user.

First meetings say little once most users have been met, as where few users say much. So the second, fourth, eighth ...
meeting of a user is tested in the same way, each level with a share of alpha; that is a union bound, for what is known
of a user at one level is known at the next, and their e-values must not be averaged.

A tolerated ratio r above 1 says that the event meets a treated user at most r times as readily. Then a first meeting
falls to the treated with a probability of at most r s / (r s + 1 - s), s being their share, and a k-th one with r^k in
the place of r: meeting a user k times as a Poisson process does is at most r^k times as likely.

What one failed call does to many users at once would look like many users' evidence. So the counts of slices of time
are compared: where they vary more between slices than coins do, all counts are divided by that excess (quasi-binomial
dispersion, Wedderburn 1974), and what came in fewer than `MIN_SLICES` slices is no evidence yet. That can only weaken
a verdict; the promise for users who are met one by one is unchanged.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flags.statistics import coin

if TYPE_CHECKING:
    from flags.statistics.arm import Counts, Incidents

MIN_SLICES = 3
"""Of time, in which an event must have met someone for the first time, before it counts."""

LEVELS = (1, 2, 4, 8, 16, 32, 64)
_LEVEL_SHARES = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 64)


class Affected(NamedTuple):
    """What the users whom an event has met say.

    Attributes:
        log_p: Natural logarithm of the p-value against "the treated are not met more readily than tolerated".
        estimate: How many times as readily the treated are met; None where nobody has been met.
        interval: Ends of the confidence sequence for it.
        dispersion: By how much the counts vary more than coins do; 1 where they do not.
    """

    log_p: float
    estimate: float | None
    interval: tuple[float, float]
    dispersion: float


def compare_affected(
    treated: Incidents, control: Incidents, *, share: float, tolerated_ratio: float = 1.0, alpha: float
) -> Affected:
    """Compare how readily an event meets the users of two arms.

    Args:
        treated: Whom it has met in one arm.
        control: Whom in the other.
        share: The probability with which chance puts a user of the two arms into the first, above 0 and below 1.
        tolerated_ratio: The ratio that is tested; 1 at least.
        alpha: One minus the confidence of the interval.
    """
    slices = _by_slice(treated.first_slice, control.first_slice)
    dispersion = _dispersion(slices)
    enough = slices.shape[1] >= MIN_SLICES
    evidence = 0.0
    for level, portion in zip(LEVELS, _LEVEL_SHARES, strict=True):
        heads, tails = int((treated.events >= level).sum()), int((control.events >= level).sum())
        if not enough or heads + tails == 0:
            break
        bias = _probability(share, tolerated_ratio**level)
        evidence = max(evidence, coin.log_e_more(heads / dispersion, tails / dispersion, bias) + math.log(portion))
    heads, tails = slices.sum(axis=1).tolist()
    low, high = coin.interval(heads / dispersion, tails / dispersion, share, alpha) if enough else (0.0, 1.0)
    return Affected(
        log_p=-evidence,
        estimate=_ratio(heads / (heads + tails), share) if heads + tails else None,
        interval=(_ratio(low, share), _ratio(high, share)),
        dispersion=dispersion,
    )


def _by_slice(treated: Counts, control: Counts) -> Counts:
    """Return how many users were met for the first time in each slice in which someone was; shape (2, slices)."""
    never = np.iinfo(np.int64).max
    first = [each[each != never] for each in (treated, control)]
    slices, place = np.unique(np.concatenate(first), return_inverse=True)
    counted = [np.bincount(those, minlength=len(slices)) for those in (place[: len(first[0])], place[len(first[0]) :])]
    return np.stack(counted).astype(np.int64)


def _dispersion(slices: Counts) -> float:
    """Return Pearson's chi-square of the slices' counts around their common share, a degree of freedom; 1 at least."""
    met = slices.sum(axis=0)
    share = float(slices[0].sum() / max(1, met.sum()))
    if slices.shape[1] < 2 or share in {0.0, 1.0}:  # noqa: PLR2004 - there is no spread of one
        return 1.0
    squares = (slices[0] - met * share) ** 2 / (met * share * (1 - share))
    return float(max(1.0, squares.sum() / (slices.shape[1] - 1)))


def _probability(share: float, ratio: float) -> float:
    """Return how probably someone who is met is one of the treated, if these are met `ratio` times as readily."""
    return ratio * share / (ratio * share + 1 - share)


def _ratio(probability: float, share: float) -> float:
    """Return the ratio that belongs to a probability."""
    if probability >= 1:
        return math.inf
    return probability / (1 - probability) * (1 - share) / share
