"""How long an experiment is likely to take: from what the control does, how much comes in, and what is to be found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from flags.statistics.arm import RATES, Arm
from flags.statistics.power import USUAL_POWER, utterances_for_mean, utterances_for_rate
from flags.statistics.spread import compare_cost, compare_latency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.events import Experiment, FlagChange, Variant


USUAL_EFFECT = 0.2
LEAST_EFFECT, MOST_EFFECT = 0.001, 0.99
"""What is smaller takes longer than anybody waits."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to find an arm that is better by so much, with a probability of `power`.

    Attributes:
        effect: By which part the metric is lower than the control's: 0.2 is a fifth.
        power: How probably it is found by then.
        utterances_seen: In all arms.
        utterances_needed: In all arms, from the start; None: nothing is known of the control yet.
        utterances_a_second: That come in.
        seconds_left: At that rate; None: it cannot be said.
    """

    effect: float
    power: float
    utterances_seen: int
    utterances_needed: int | None
    utterances_a_second: float
    seconds_left: float | None


def look_ahead(
    change: FlagChange, experiment: Experiment, arms: Mapping[str, Arm], *, elapsed_seconds: float, effect: float
) -> Outlook:
    """Say how long it is likely to take.

    Args:
        change: The flag whose variants are the arms.
        experiment: The flag's.
        arms: What each arm has seen, by name.
        elapsed_seconds: Since it started.
        effect: By which part the metric of a better arm is lower, above 0 and below 1.
    """
    seen = sum(arm.utterances for arm in arms.values())
    control = arms.get(experiment.control) or Arm()
    of_pairs = [
        _needed(experiment, arms.get(each.name) or Arm(), control, share=share, effect=effect, alpha=alpha) / pair
        for each, share, pair, alpha in _pairs(change, experiment)
    ]
    needed = max(of_pairs, default=math.inf)
    rate = seen / elapsed_seconds if elapsed_seconds > 0 else 0.0
    known = math.isfinite(needed)
    return Outlook(
        effect=effect,
        power=USUAL_POWER,
        utterances_seen=seen,
        utterances_needed=round(needed) if known else None,
        utterances_a_second=rate,
        seconds_left=max(0.0, needed - seen) / rate if known and rate > 0 else None,
    )


def _pairs(change: FlagChange, experiment: Experiment) -> list[tuple[Variant, float, float, float]]:
    """Return each challenger with its share of the pair, the pair's share of all, and the alpha of its win."""
    weights = {each.name: each.weight for each in change.variants}
    alpha = experiment.alpha / 2 / (len(weights) - 1)
    pairs = []
    for each in change.variants:
        if each.name != experiment.control:
            pair = each.weight + weights[experiment.control]
            pairs.append((each, each.weight / pair, pair / sum(weights.values()), alpha))
    return pairs


def _needed(experiment: Experiment, arm: Arm, control: Arm, *, share: float, effect: float, alpha: float) -> float:
    """Return how many utterances of both arms are needed; infinite where nothing is known of the control."""
    if experiment.metric in RATES:
        met = int((control.incidents(experiment.metric).events > 0).sum())
        if not met:
            return math.inf
        # Those who are met again say little, so that users are counted, and the better arm is the one met less.
        baseline = met / control.utterances
        return utterances_for_rate(baseline=baseline, ratio=1 - effect, share=share, alpha=alpha)
    ratio = (compare_latency if experiment.metric == "latency" else compare_cost)(arm, control)
    if ratio is None or ratio.error is None:
        return math.inf
    spread = ratio.error * math.sqrt(arm.utterances + control.utterances)
    return utterances_for_mean(log_ratio=math.log(1 - effect), spread=spread, alpha=alpha)
