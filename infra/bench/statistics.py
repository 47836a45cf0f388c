"""Whether the statistics keep their promises, counted over streams whose truth is known; and what others would say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flags.experiments.analysis import METRICS, Verdict, assess
from flags.statistics import sample_ratio
from flags.statistics.affected import evidence
from flags.statistics.arm import Arm
from flags.statistics.simulation import (
    ONE_EACH,
    Population,
    Stream,
    draw_stream,
    fail_whole_calls,
    meetings_at,
    z_scores,
)
from infra.bench.report import Report, new_report
from schemas.events import Experiment, FlagChange, Variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.experiments.analysis import Metric

_ALPHA = 0.05
_UTTERANCES, _EVERY = 40_000, 200
_LOOKS = np.arange(_EVERY, _UTTERANCES + 1, _EVERY)
_CANARY, _ERROR_RATE = 0.25, 0.02
_Z = 1.96

_UNEQUAL = Population(users=2_000, heaviness=1.5, proneness=1.0)
"""A few say most: the upper tenth half of all; and some meet with errors far more readily than others."""

_AA_UTTERANCES, _AA_EVERY, _AA_USERS = 4_000, 400, 400
_ARMS = ("a", "b")

_NOTES = (
    f"Looks: every {_EVERY} utterances up to {_UTTERANCES:,}; a verdict counts if any look gives it; promised: 5 %.",
    "A/A experiments go through everything that decides a real one, with users who say and suffer unequally much.",
    "Unequal: 2,000 users, the logarithms of how much they say and how readily they err spread by 1.5 and 1.",
    "Failed calls: now and then all of one arm's utterances that are answered together fail together.",
)


class _Found(NamedTuple):
    """How often a verdict was given, in percent, and after how many utterances."""

    percent: float
    median: float
    p95: float


def bench_statistics(*, runs: int, seed: int, say: Callable[[str], None]) -> Report:
    """Play every kind of stream and report.

    Args:
        runs: Streams of each kind.
        seed: Of all chance.
        say: Tells how far it is.
    """
    begun, random = time.time(), np.random.default_rng(seed)
    measures: dict[str, float] = {}
    for title, measure in (
        ("no difference", _no_difference),
        ("errors double", _doubling),
        ("users in the wrong arms", _sample_ratio),
        ("unequal users", _unequal_users),
        ("calls that fail as a whole", _failed_calls),
        ("experiments without a difference", _aa_experiments),
    ):
        say(f"{title} ...")
        measures |= measure(random, runs)
    return new_report(
        "experiments simulate",
        begun=begun,
        settings={"runs": runs, "seed": seed, "alpha": _ALPHA, "error_rate": _ERROR_RATE, "canary": _CANARY},
        measures={name: [value] for name, value in measures.items()},
        ratios={},
        notes=_NOTES,
    )


def _no_difference(random: np.random.Generator, runs: int) -> dict[str, float]:
    canary, plain = _watch(lambda: draw_stream(random, utterances=_UTTERANCES, share=_CANARY, rate=_ERROR_RATE), runs)
    halves, _ = _watch(
        lambda: draw_stream(random, utterances=_UTTERANCES, share=0.5, rate=_ERROR_RATE), runs, share=0.5, both=True
    )
    return {
        "no_difference_false_breaches_percent": canary.percent,
        "no_difference_false_verdicts_percent": halves.percent,
        "no_difference_z_test_false_percent": plain,
    }


def _doubling(random: np.random.Generator, runs: int) -> dict[str, float]:
    def draw() -> Stream:
        return draw_stream(random, utterances=_UTTERANCES, share=_CANARY, rate=_ERROR_RATE, ratio=2.0)

    found, _ = _watch(draw, runs)
    return {
        "doubling_caught_percent": found.percent,
        "doubling_median_events": found.median,
        "doubling_p95_events": found.p95,
    }


def _sample_ratio(random: np.random.Generator, runs: int) -> dict[str, float]:
    found = {share: _watch_split(random, runs, share) for share in (0.5, 0.48)}
    return {
        "split_false_alarms_percent": found[0.5].percent,
        "split_48_52_found_percent": found[0.48].percent,
        "split_48_52_median_users": found[0.48].median,
    }


def _unequal_users(random: np.random.Generator, runs: int) -> dict[str, float]:
    def draw(ratio: float = 1.0) -> Stream:
        return draw_stream(
            random, utterances=_UTTERANCES, share=_CANARY, rate=_ERROR_RATE, ratio=ratio, population=_UNEQUAL
        )

    same, plain = _watch(draw, runs)
    doubled, _ = _watch(lambda: draw(2.0), runs)
    return {
        "unequal_users_false_breaches_percent": same.percent,
        "unequal_users_z_test_false_percent": plain,
        "unequal_users_doubling_caught_percent": doubled.percent,
        "unequal_users_doubling_median_events": doubled.median,
    }


def _failed_calls(random: np.random.Generator, runs: int) -> dict[str, float]:
    def draw() -> Stream:
        stream = draw_stream(random, utterances=_UTTERANCES, share=_CANARY, rate=_ERROR_RATE / 4, population=ONE_EACH)
        return fail_whole_calls(random, stream, share=_CANARY, rate=0.02)

    found, plain = _watch(draw, runs)
    return {
        "failed_calls_false_breaches_percent": found.percent,
        "failed_calls_z_test_false_percent": plain,
    }


def _watch(
    draw: Callable[[], Stream], runs: int, *, share: float = _CANARY, both: bool = False
) -> tuple[_Found, float]:
    """Return how often, and when, streams are found to differ; and how often a plain z-test finds that, in percent.

    Args:
        draw: Draws a stream.
        runs: How many.
        share: Of the treated.
        both: Whether it is asked in both directions, each with half of alpha.
    """
    first, plain = [], 0
    for _ in range(runs):
        stream = draw()
        met = meetings_at(stream, _LOOKS)
        strength = evidence(met, share=share)
        if both:
            turned = met._replace(treated=met.control, control=met.treated)
            strength = np.maximum(strength, evidence(turned, share=1 - share)) - np.log(2)
        first.append(_first_look(strength >= np.log(1 / _ALPHA)))
        plain += bool((np.abs(z_scores(stream, _LOOKS)) > _Z).any())
    return _found(first), 100 * plain / runs


def _watch_split(random: np.random.Generator, runs: int, share: float) -> _Found:
    first = []
    for _ in range(runs):
        users = np.cumsum(random.binomial(_EVERY, share, len(_LOOKS)))
        log_e = sample_ratio.log_e(np.stack([users, _LOOKS - users]), (1, 1))
        first.append(_first_look(log_e >= np.log(1 / sample_ratio.ALPHA)))
    return _found(first)


def _first_look(found: np.typing.NDArray[np.bool_]) -> float:
    """Return after how many utterances it was found; infinity if it was not."""
    return float(_LOOKS[found.argmax()]) if found.any() else np.inf


def _found(first: list[float]) -> _Found:
    percent = 100 * float(np.mean(np.isfinite(first)))
    median, p95 = np.quantile(first, [0.5, 0.95], method="inverted_cdf")
    return _Found(percent, float(median), float(p95))


def _aa_experiments(random: np.random.Generator, runs: int) -> dict[str, float]:
    verdicts = [_aa_experiment(random, METRICS[run % len(METRICS)]) for run in range(runs)]
    winners = sum(Verdict.WINNER in seen for seen in verdicts)
    harmful = sum(Verdict.HARMFUL in seen for seen in verdicts)
    return {
        "aa_experiments": float(runs),
        "aa_winners_promised_percent": 100 * _ALPHA / 2,
        "aa_winners_percent": 100 * winners / runs,
        "aa_harmful_percent": 100 * harmful / runs,
    }


def _aa_experiment(random: np.random.Generator, metric: Metric) -> set[Verdict]:
    """Return every verdict that an experiment has had whose arms do not differ."""
    experiment = Experiment(control=_ARMS[0], metric=metric, alpha=_ALPHA, started_at="2026-11-23T09:00:00Z")
    change = FlagChange(
        name="aa",
        enabled=True,
        revision=1,
        changed_by="simulation",
        changed_at="2026-11-23T09:00:00Z",
        variants=tuple(Variant(name=name, value="adaptive", weight=50.0) for name in _ARMS),
        off_variant=_ARMS[0],
        experiment=experiment,
    )
    arms = {name: Arm() for name in _ARMS}
    of_user = random.integers(len(_ARMS), size=_AA_USERS)
    slowness = random.lognormal(-4.0, 0.5, _AA_USERS)
    weights = random.lognormal(0.0, 1.0, _AA_USERS)
    users = random.choice(_AA_USERS, _AA_UTTERANCES, p=weights / weights.sum())
    seconds = slowness[users] * random.lognormal(0.0, 0.5, _AA_UTTERANCES)
    chances = random.random((3, _AA_UTTERANCES))
    verdicts = set()
    for place, user in enumerate(users.tolist()):
        arm, at_seconds = arms[_ARMS[of_user[user]]], place / 20
        arm.add(
            str(user),
            at_seconds=at_seconds,
            latency_seconds=float(seconds[place]),
            cost_seconds=float(seconds[place]) / 2,
            failed=bool(chances[0, place] < _ERROR_RATE),
            degraded=bool(chances[1, place] < _ERROR_RATE / 2),
        )
        if chances[2, place] < 2 * _ERROR_RATE:
            arm.correct(str(user), at_seconds=at_seconds)
        if (place + 1) % _AA_EVERY == 0:
            verdicts.add(assess(change, experiment, arms).verdict)
    return verdicts
