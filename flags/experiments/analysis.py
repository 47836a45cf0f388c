"""What may be said about an experiment: a pure function of its flag and of what its arms have seen.

The promise: if the arms do not differ, a WINNER is named or one called HARMFUL with a probability of the experiment's
`alpha` at most, over all arms, metrics and looks together. Half of alpha is for winners, shared by the arms; half for
harm, shared by the arms and what may be harmed. A winner is better than the control in what decides, and not harmful.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Literal

import msgspec

from flags.statistics import normal, sample_ratio
from flags.statistics.affected import compare_affected
from flags.statistics.arm import RATES, Arm
from flags.statistics.spread import compare_cost, compare_latency, mean_cost_seconds, p95_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.events import Experiment, FlagChange

Metric = Literal["error_rate", "degraded_rate", "correction_rate", "latency", "cost"]

METRICS: tuple[Metric, ...] = ("error_rate", "degraded_rate", "correction_rate", "latency", "cost")


class Verdict(enum.StrEnum):
    """What is to be thought of an experiment, or of one of its arms."""

    WINNER = "WINNER"
    """Better than the control in what decides, and worse in nothing that must not get worse."""
    NO_WINNER_YET = "NO WINNER YET"
    """Nothing can be said."""
    HARMFUL = "HARMFUL"
    """Worse than the control in what decides or in a rate."""
    BLOCKED = "BLOCKED"
    """Users are not in the arms as designed: nothing may be said."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of an arm, held against the control's.

    Attributes:
        estimate: How many times as much; of a rate: how many times as readily it meets a user. None: cannot be said.
        interval: The confidence sequence's ends, at 1 - alpha; infinity where there is no end.
        p_less: Against "it is not less", valid whenever one looks.
        p_more: Against "it is not more".
    """

    metric: str
    estimate: float | None
    interval: tuple[float, float]
    p_less: float
    p_more: float


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What has been seen of one arm, and what is to be thought of it.

    Attributes:
        weight: Its share of the users, in percent, as designed.
        latency: The 95th percentile of the time in the chain, in seconds.
        cost: The mean of the tiers' seconds an utterance.
        differences: From the control; none for the control itself.
        verdict: Of an arm that is not the control.
    """

    name: str
    strategy: str
    weight: float
    users: int
    utterances: int
    error_rate: float
    degraded_rate: float
    correction_rate: float
    latency: float
    cost: float
    differences: tuple[Difference, ...] = ()
    verdict: Verdict | None = None
    reason: str = ""


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """What may be said about an experiment.

    Attributes:
        winner: The arm that everyone should get: the best of the winners, or the control where all others do harm.
        sample_ratio_p: Against "users arrive as designed", valid whenever one looks.
    """

    flag: str
    verdict: Verdict
    reason: str
    winner: str | None
    metric: str
    control: str
    alpha: float
    sample_ratio_p: float
    arms: tuple[Seen, ...]


def assess(change: FlagChange, experiment: Experiment, arms: Mapping[str, Arm]) -> Assessment:
    """Say what may be said.

    Args:
        change: The flag whose variants are the arms.
        experiment: The flag's.
        arms: What each arm has seen, by name; one that is missing has seen nothing.
    """
    counted = {each.name: arms.get(each.name) or Arm() for each in change.variants}
    weights = {each.name: each.weight for each in change.variants}
    p_value = sample_ratio.p_value([arm.users for arm in counted.values()], list(weights.values()))
    blocked = p_value <= sample_ratio.ALPHA
    seen = tuple(
        _see(each.name, str(each.value), experiment, counted, weights, blocked=blocked) for each in change.variants
    )
    verdict, reason, winner = _conclude(experiment, seen, p_value, blocked=blocked)
    return Assessment(
        flag=change.name,
        verdict=verdict,
        reason=reason,
        winner=winner,
        metric=experiment.metric,
        control=experiment.control,
        alpha=experiment.alpha,
        sample_ratio_p=p_value,
        arms=seen,
    )


def _see(
    name: str,
    strategy: str,
    experiment: Experiment,
    arms: Mapping[str, Arm],
    weights: Mapping[str, float],
    *,
    blocked: bool,
) -> Seen:
    arm, others = arms[name], len(arms) - 1
    differences: tuple[Difference, ...] = ()
    verdict, reason = None, ""
    if name != experiment.control:
        share = weights[name] / (weights[name] + weights[experiment.control])
        control = arms[experiment.control]
        differences = tuple(_compare(metric, arm, control, share, experiment.alpha / others) for metric in METRICS)
        verdict, reason = _judge(differences, experiment, others)
        if blocked:
            verdict, reason = Verdict.BLOCKED, "users are not in the arms as designed"
    return Seen(
        name=name,
        strategy=strategy,
        weight=weights[name],
        users=arm.users,
        utterances=arm.utterances,
        error_rate=arm.rate("error_rate"),
        degraded_rate=arm.rate("degraded_rate"),
        correction_rate=arm.rate("correction_rate"),
        latency=p95_seconds(arm),
        cost=mean_cost_seconds(arm),
        differences=differences,
        verdict=verdict,
        reason=reason,
    )


def _compare(metric: str, arm: Arm, control: Arm, share: float, alpha: float) -> Difference:
    if metric in RATES:
        met, those = arm.incidents(metric), control.incidents(metric)
        more = compare_affected(met, those, share=share, alpha=alpha)
        less = compare_affected(those, met, share=1 - share, alpha=alpha)
        return Difference(
            metric=metric,
            estimate=more.estimate,
            interval=more.interval,
            p_less=less.p_value,
            p_more=more.p_value,
        )
    ratio = (compare_latency if metric == "latency" else compare_cost)(arm, control)
    if ratio is None or ratio.error is None:
        estimate = None if ratio is None else math.exp(ratio.log_ratio)
        return Difference(metric=metric, estimate=estimate, interval=(0.0, math.inf), p_less=1.0, p_more=1.0)
    width = normal.half_width(ratio.error, ratio.groups, alpha)
    return Difference(
        metric=metric,
        estimate=math.exp(ratio.log_ratio),
        interval=(math.exp(ratio.log_ratio - width), math.exp(ratio.log_ratio + width)),
        p_less=_p(normal.log_e_more(-ratio.log_ratio, ratio.error, ratio.groups)),
        p_more=_p(normal.log_e_more(ratio.log_ratio, ratio.error, ratio.groups)),
    )


def _judge(differences: tuple[Difference, ...], experiment: Experiment, others: int) -> tuple[Verdict, str]:
    """Return one arm's verdict and its reason."""
    harmed = {experiment.metric, *RATES}
    harms = [
        difference
        for difference in differences
        if difference.metric in harmed and difference.p_more <= experiment.alpha / 2 / others / len(harmed)
    ]
    if harms:
        return Verdict.HARMFUL, f"more {_words(harms[0])} than {experiment.control}"
    for difference in differences:
        if difference.metric == experiment.metric and difference.p_less <= experiment.alpha / 2 / others:
            return Verdict.WINNER, f"less {_words(difference)} than {experiment.control}"
    return Verdict.NO_WINNER_YET, f"no difference in {experiment.metric} is sure enough"


def _conclude(
    experiment: Experiment, seen: tuple[Seen, ...], p_value: float, *, blocked: bool
) -> tuple[Verdict, str, str | None]:
    """Return the whole experiment's verdict, the reason, and the arm that everyone should get."""
    if blocked:
        counts = ", ".join(f"{each.users} users in {each.name} ({each.weight:g} % by design)" for each in seen)
        return Verdict.BLOCKED, f"chance would hardly put {counts}: p = {p_value:.2g}", None
    challengers = [each for each in seen if each.verdict is not None]
    winners = [each for each in challengers if each.verdict is Verdict.WINNER]
    if winners:
        best = min(winners, key=lambda each: _estimate(each, experiment.metric))
        return Verdict.WINNER, f"{best.name} has {best.reason}", best.name
    harmful = [each for each in challengers if each.verdict is Verdict.HARMFUL]
    if harmful:
        winner = experiment.control if len(harmful) == len(challengers) else None
        return Verdict.HARMFUL, "; ".join(f"{each.name} has {each.reason}" for each in harmful), winner
    return Verdict.NO_WINNER_YET, f"no difference in {experiment.metric} is sure enough", None


def _estimate(seen: Seen, metric: str) -> float:
    return next((each.estimate for each in seen.differences if each.metric == metric), None) or math.inf


def _words(difference: Difference) -> str:
    low, high = difference.interval
    return f"{difference.metric} ({difference.estimate or 0:.2f} times, {low:.2f} to {high:.2f})"


def _p(log_e: float) -> float:
    return math.exp(min(0.0, -log_e))
