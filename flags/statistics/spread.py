"""The ratio of one quantity in two arms, and how far chance moves it: the comparison of latencies and costs.

Users are dealt into groups by a hash, and seconds into other groups. The estimate is made again without each group in
turn, and how much these differ is its standard error (the grouped jackknife; Efron and Stein 1981). Groups of users
take in that one user's utterances resemble each other, groups of seconds that one moment's do: what slowed down both
arms at once cancels out, what slowed down one call does not. The larger of the two errors counts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flags.statistics.arm import Tally, bin_edges

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from flags.statistics.arm import Arm

    Estimates = npt.NDArray[np.float64]

MIN_GROUPS = 16
"""Of users, and of seconds, that must be there in both arms before a standard error is believed."""

_PERCENTILE = 0.95

_LEAST_ERROR = 1e-3
"""A difference of a few thousandths is not one, however alike the groups are."""

_LOG_EDGES = np.log(bin_edges())


class Ratio(NamedTuple):
    """How many times as much it is in the first arm.

    Attributes:
        log_ratio: Natural logarithm of the estimate.
        error: Its standard error; None where there are too few groups for one.
        groups: Behind the standard error.
    """

    log_ratio: float
    error: float | None
    groups: int


def compare_latency(first: Arm, second: Arm) -> Ratio | None:
    """Compare the 95th percentiles of latency; None where an arm has no utterances."""
    return _compare(first, second, log_p95)


def compare_cost(first: Arm, second: Arm) -> Ratio | None:
    """Compare the mean cost of an utterance; None where an arm has no utterances or no cost."""
    return _compare(first, second, _log_mean_cost)


def p95_seconds(arm: Arm) -> float:
    """Return the 95th percentile of latency; 0 without utterances."""
    return math.exp(log_p95(_total(arm.by_user))[0]) if arm.utterances else 0.0


def mean_cost_seconds(arm: Arm) -> float:
    """Return the mean cost of an utterance; 0 without utterances."""
    return float(arm.by_user.cost_seconds.sum()) / max(1, arm.utterances)


def log_p95(tally: Tally) -> Estimates:
    """Return the logarithm of each row's 95th percentile of latency, interpolated within its bin; shape (rows,)."""
    below = tally.latencies.cumsum(axis=1)
    wanted = _PERCENTILE * below[:, -1]
    bins = (below < wanted[:, np.newaxis]).sum(axis=1)
    rows = np.arange(len(bins))
    inside = tally.latencies[rows, bins]
    share = (wanted - below[rows, bins] + inside) / np.maximum(inside, 1)
    return np.asarray(_LOG_EDGES[bins] + share * (_LOG_EDGES[bins + 1] - _LOG_EDGES[bins]))


def _log_mean_cost(tally: Tally) -> Estimates:
    return np.asarray(np.log(tally.cost_seconds / tally.utterances))


def _compare(first: Arm, second: Arm, estimate: Callable[[Tally], Estimates]) -> Ratio | None:
    if not first.utterances or not second.utterances:
        return None
    whole = estimate(_total(first.by_user))[0] - estimate(_total(second.by_user))[0]
    if not math.isfinite(whole):
        return None
    errors = [
        _jackknife(one, other, estimate)
        for one, other in ((first.by_user, second.by_user), (first.by_time, second.by_time))
    ]
    groups = min(groups for _, groups in errors)
    believed = groups >= MIN_GROUPS
    return Ratio(float(whole), max(_LEAST_ERROR, *(error for error, _ in errors)) if believed else None, groups)


def _jackknife(first: Tally, second: Tally, estimate: Callable[[Tally], Estimates]) -> tuple[float, int]:
    """Return the standard error of the difference of two estimates, and how many groups are behind it."""
    there = (first.utterances > 0) | (second.utterances > 0)
    groups = min(int((tally.utterances > 0).sum()) for tally in (first, second))
    if groups < MIN_GROUPS:
        return math.inf, groups
    without = estimate(_without_each(first, there)) - estimate(_without_each(second, there))
    count = int(there.sum())
    return math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum())), groups


def _total(tally: Tally) -> Tally:
    """Return the sums over all groups, as one row."""
    return Tally(
        tally.utterances.sum(axis=0, keepdims=True),
        tally.cost_seconds.sum(axis=0, keepdims=True),
        tally.latencies.sum(axis=0, keepdims=True),
    )


def _without_each(tally: Tally, there: npt.NDArray[np.bool_]) -> Tally:
    """Return the sums without each of the groups that are there; as many rows."""
    total = _total(tally)
    return Tally(
        total.utterances - tally.utterances[there],
        total.cost_seconds - tally.cost_seconds[there],
        total.latencies - tally.latencies[there],
    )
