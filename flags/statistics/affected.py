"""Which arm the users fall in whom an event has met: the test of rates.

Chance puts a user into the treated arm with the probability of its share, whatever happens to the user afterwards. So
if being treated changes nothing, each user whom an event meets for the first time is one of the treated with exactly
that probability, and independently of the others: however often the same user is met again, however the rate moves in
the course of a day, however unequal users are. What remains is a coin thrown once a user, and its bias is tested by a
mixture martingale (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021) over conditional counts, as Lindon and
Malek (2022) do for sample ratios and counting processes. It may be looked at after every user.

What one failed call does to many users at once is one throw and not many. So only one of the users counts who were
first met in the same slice of time, picked by a hash and without regard to the arm.

First meetings say little once most users have been met, as where few users say much. So the second, fourth, eighth ...
meeting of these users is tested in the same way, each level with a part of alpha; that is a union bound, for what is
known of a user at one level is known at the next, and their e-values must not be averaged.

A tolerated ratio r above 1 says that the event meets a treated user at most r times as readily. Then a first meeting
falls to the treated with a probability of at most r s / (r s + 1 - s), s being their share, and a k-th one with r^k in
the place of r: meeting a user k times as a Poisson process does is at most r^k times as likely.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flags.statistics import coin

if TYPE_CHECKING:
    from flags.statistics.arm import Counts, Incidents
    from flags.statistics.coin import Numbers

LEVELS = np.array([1, 2, 4, 8, 16, 32, 64])
"""The meetings of a user that are tested."""

_PARTS_OF_ALPHA = np.array([0.7, 0.15, 0.07, 0.04, 0.02, 0.01, 0.01])

_HIGHEST_BIAS = 0.99
"""Where hardly anything could be more, as with the powers of a large tolerated ratio, nothing is tested."""

_NEVER = np.iinfo(np.int64).max


class Meetings(NamedTuple):
    """How many of the users who count were met as often as each of `LEVELS`, shape (levels, ...) each."""

    treated: Counts
    control: Counts


class Affected(NamedTuple):
    """What the users whom an event has met say.

    Attributes:
        p_value: Against "it meets the treated at most `tolerated_ratio` times as readily".
        estimate: How many times as readily it meets them; None where nobody has been met.
        interval: Ends of the confidence sequence for it.
    """

    p_value: float
    estimate: float | None
    interval: tuple[float, float]


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
    met = count_meetings(treated, control)
    heads, tails = int(met.treated[0]), int(met.control[0])
    low, high = coin.interval(heads, tails, share, alpha)
    return Affected(
        p_value=math.exp(-float(evidence(met, share=share, tolerated_ratio=tolerated_ratio))),
        estimate=_ratio(heads / (heads + tails), share) if heads + tails else None,
        interval=(_ratio(low, share), _ratio(high, share)),
    )


def evidence(met: Meetings, *, share: float, tolerated_ratio: float = 1.0) -> Numbers:
    """Return minus the logarithm of the p-value against "at most `tolerated_ratio` times as readily"; 0 at least.

    Args:
        met: Users met, shape (levels, ...).
        share: The probability with which chance puts a user of the two arms into the first.
        tolerated_ratio: 1 at least.

    Returns:
        Shape (...).
    """
    each = (len(LEVELS), *[1] * (met.treated.ndim - 1))
    bias = _probability(share, tolerated_ratio ** LEVELS.reshape(each).astype(np.float64))
    log_e = coin.log_e_more(met.treated, met.control, np.minimum(bias, _HIGHEST_BIAS))
    of_levels = np.where(bias < _HIGHEST_BIAS, log_e + np.log(_PARTS_OF_ALPHA).reshape(each), 0.0)
    return np.asarray(np.maximum(0.0, of_levels.max(axis=0)))


def count_meetings(treated: Incidents, control: Incidents) -> Meetings:
    """Return what the test looks at, of two arms as they are now."""
    first = np.concatenate([treated.first_slice, control.first_slice])
    events = np.concatenate([treated.events, control.events])
    is_treated = np.arange(len(first)) < len(treated.first_slice)
    counting = _one_a_slice(first, np.concatenate([treated.hashes, control.hashes]))
    enough = events[counting] >= LEVELS[:, np.newaxis]
    return Meetings(
        treated=(enough & is_treated[counting]).sum(axis=1), control=(enough & ~is_treated[counting]).sum(axis=1)
    )


def _one_a_slice(first_slice: Counts, hashes: Counts) -> Counts:
    """Return the places of those who count: of all who were first met in one slice, the one with the lowest hash."""
    met = np.flatnonzero(first_slice != _NEVER)
    order = met[np.lexsort((hashes[met], first_slice[met]))]
    return order[np.diff(first_slice[order], prepend=-1) > 0]


def _probability(share: float, ratio: Numbers) -> Numbers:
    """Return how probably someone who is met is one of the treated, if these are met `ratio` times as readily."""
    return ratio * share / (ratio * share + 1 - share)


def _ratio(probability: float, share: float) -> float:
    """Return the ratio that belongs to a probability."""
    if probability >= 1:
        return math.inf
    return probability / (1 - probability) * (1 - share) / share
