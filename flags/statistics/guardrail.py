"""Whether a guardrail holds for those who have a flag, held against those who have not, whenever one asks."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

import msgspec

from flags.statistics import coin, normal
from flags.statistics.affected import compare_affected
from flags.statistics.spread import MIN_GROUPS, compare_latency, p95_seconds

if TYPE_CHECKING:
    from flags.statistics.arm import Arm


P95_LATENCY = "p95_latency"

_RATE_THAT_MATTERS = 2.0
"""A rate this many times as bad as tolerated must be ruled out before a guardrail is fine."""

_LATENCY_THAT_MATTERS = 1.5
"""The same for latency."""

_SELDOM = 0.01
"""An event that meets fewer users than this is fine, whatever its ratio."""


class Verdict(enum.StrEnum):
    """What the evidence says so far."""

    BREACH = "breach"
    """It is worse than is tolerated; said wrongly with a probability of `alpha` at most, however often one asks."""
    FINE = "fine"
    """So far no breach, and one that matters would have shown."""
    UNDECIDED = "undecided"
    """There is too little to go by."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one guardrail's check found.

    Attributes:
        metric: Which guardrail.
        verdict: What it says.
        reason: The verdict in words, for a person.
        p_value: Against "not worse than tolerated"; valid whenever one looks.
        treated: The metric of those who have the flag; events an utterance, or seconds.
        control: The same of those who have not.
        estimate: How many times as bad it is for the treated; None where that cannot be said.
        interval: The confidence sequence's ends for `estimate`, at 1 - alpha; infinity where there is no end.
    """

    metric: str
    verdict: Verdict
    reason: str
    p_value: float
    treated: float
    control: float
    estimate: float | None
    interval: tuple[float, float]


def judge(
    metric: str, treated: Arm, control: Arm, *, allocation: float, tolerated_ratio: float, alpha: float
) -> Finding:
    """Say whether a guardrail holds.

    Args:
        metric: `error_rate`, `degraded_rate`, `correction_rate` or `p95_latency`.
        treated: Those who have the flag, since the percentage is what it is.
        control: Those who have not, in the same time.
        allocation: The share of the treated among all whom chance assigned: the rollout percentage / 100.
        tolerated_ratio: How many times as bad it may be, 1 at least; above that is a breach.
        alpha: How probable a wrong breach may be at most; `split_alpha` shares one promise between guardrails.
    """
    if metric == P95_LATENCY:
        return _judge_latency(treated, control, tolerated_ratio=tolerated_ratio, alpha=alpha)
    return _judge_rate(metric, treated, control, share=allocation, tolerated_ratio=tolerated_ratio, alpha=alpha)


def split_alpha(alpha: float, *, guardrails: int, steps: int) -> float:
    """Return the alpha of one guardrail at one step, so that all together break the promise as seldom as promised.

    Each step counts its evidence anew, so that all of them could be wrong by themselves: a union bound over both.
    """
    return alpha / (guardrails * steps)


def _judge_rate(
    metric: str, treated: Arm, control: Arm, *, share: float, tolerated_ratio: float, alpha: float
) -> Finding:
    met = treated.incidents(metric)
    affected = compare_affected(
        met, control.incidents(metric), share=share, tolerated_ratio=tolerated_ratio, alpha=alpha
    )
    most = _RATE_THAT_MATTERS * tolerated_ratio
    touched = int((met.events > 0).sum())
    _, most_users = coin.interval(touched, treated.users - touched, _SELDOM, alpha)
    if affected.p_value <= alpha:
        verdict, reason = (
            Verdict.BREACH,
            f"those who have the flag meet with it more than {tolerated_ratio:g} times as readily",
        )
    elif affected.interval[1] <= most:
        verdict, reason = Verdict.FINE, f"that it is {most:g} times as bad is ruled out"
    elif most_users <= _SELDOM:
        verdict, reason = Verdict.FINE, f"it meets fewer than {_SELDOM:.0%} of those who have the flag"
    else:
        verdict, reason = (
            Verdict.UNDECIDED,
            f"too few users have met with it to rule out that it is {most:g} times as bad",
        )
    return Finding(
        metric=metric,
        verdict=verdict,
        reason=reason,
        p_value=affected.p_value,
        treated=treated.rate(metric),
        control=control.rate(metric),
        estimate=affected.estimate,
        interval=affected.interval,
    )


def _judge_latency(treated: Arm, control: Arm, *, tolerated_ratio: float, alpha: float) -> Finding:
    ratio = compare_latency(treated, control)
    p_value, low, high = 1.0, 0.0, math.inf
    if ratio is not None and ratio.error is not None:
        log_e = normal.log_e_more(ratio.log_ratio - math.log(tolerated_ratio), ratio.error, ratio.groups)
        p_value = math.exp(min(0.0, -log_e))
        width = normal.half_width(ratio.error, ratio.groups, alpha)
        low, high = math.exp(ratio.log_ratio - width), math.exp(ratio.log_ratio + width)
    most = _LATENCY_THAT_MATTERS * tolerated_ratio
    if p_value <= alpha:
        verdict, reason = Verdict.BREACH, f"those who have the flag wait more than {tolerated_ratio:g} times as long"
    elif high <= most:
        verdict, reason = Verdict.FINE, f"that they wait {most:g} times as long is ruled out"
    elif high == math.inf:
        verdict, reason = (
            Verdict.UNDECIDED,
            f"users and seconds of both must be there from {MIN_GROUPS} groups at least",
        )
    else:
        verdict, reason = Verdict.UNDECIDED, f"too little has come to rule out that they wait {most:g} times as long"
    return Finding(
        metric=P95_LATENCY,
        verdict=verdict,
        reason=reason,
        p_value=p_value,
        treated=p95_seconds(treated),
        control=p95_seconds(control),
        estimate=None if ratio is None else math.exp(ratio.log_ratio),
        interval=(low, high),
    )
