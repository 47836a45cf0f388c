"""What flags promise, measured: how fast changes arrive, what asking costs, whether the past can be decided again."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from infra.bench.broker import benchmark_broker
from infra.bench.flag_evaluation import OURS, measure_evaluation
from infra.bench.flag_propagation import measure_propagation
from infra.bench.flag_replay import measure_replay
from infra.bench.report import Report, new_report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from schemas.settings import Settings

_PERCENTAGE = "percentage"
_NOTES = (
    (
        "Propagation: from before the HTTP request (PUT /api/v1/feature-flags/…, to one of the workers that classify) "
        "until the last process's snapshot was swapped. The workers had more utterances waiting than they could answer "
        "all the time; every text was another, and no cache knew it."
    ),
    (
        "Evaluation: a boolean flag at 25 % of the users (percentage), and one that is on for two plans (targeting). "
        "Ratios: how many times as long the peer takes. Every library in one process, in turn, round after round, the "
        "same user each time, contexts made beforehand; yggdrasil is the engine without the Unleash SDK around it."
    ),
)


def bench_flags(
    settings: Settings,
    *,
    flips: int,
    followers: int,
    workers: int,
    rounds: int,
    decisions: int,
    revisions: int,
    say: Callable[[str], None],
) -> Report:
    """Measure propagation, evaluation and replay.

    Args:
        settings: Of whoever runs it. The broker is an embedded one in a folder of its own: whole topics are filled.
        flips: Changes that are timed.
        followers: Processes that follow, the workers included.
        workers: That classify.
        rounds: Of each library's evaluation.
        decisions: That are replayed.
        revisions: Over which they are spread.
        say: Told what is being done.

    Raises:
        UnavailableError: Something that is measured could not be run.
    """
    begun = time.time()
    say("asking for flags, ours and the peers'")
    evaluation = measure_evaluation(rounds)
    with benchmark_broker(settings, say, own=True) as there:
        replayed = measure_replay(there, decisions=decisions, revisions=revisions, say=say)
        propagation = measure_propagation(there, flips=flips, workers=workers, followers=followers, say=say)
    return new_report(
        "bench flags",
        begun=begun,
        settings={
            "flips": flips,
            "followers": followers,
            "workers": workers,
            "rounds": rounds,
            "decisions": decisions,
            "revisions": revisions,
        },
        measures={
            **_milliseconds("propagation", [flip.applied for flip in propagation.flips]),
            **_milliseconds("http_write", [flip.answered for flip in propagation.flips]),
            "classified_per_second": [propagation.classified_per_second],
            "replayed_decisions_per_second": [replayed.result.decisions / replayed.seconds],
            "replayed_identical": [replayed.result.identical],
            **_evaluation_measures(evaluation),
        },
        ratios=_evaluation_ratios(evaluation),
        notes=_NOTES,
    )


def _milliseconds(name: str, seconds: Sequence[float]) -> dict[str, list[float]]:
    centiles = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        f"{name}_p50_ms": [centiles[49] * 1_000],
        f"{name}_p99_ms": [centiles[98] * 1_000],
        f"{name}_max_ms": [max(seconds) * 1_000],
    }


def _evaluation_measures(evaluation: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    return {_measure(key): microseconds for key, microseconds in evaluation.items()}


def _evaluation_ratios(evaluation: Mapping[str, Sequence[float]]) -> dict[str, tuple[str, str]]:
    ratios = {}
    for key in evaluation:
        question, library = key.split(".")
        if library != OURS:
            ratios[f"{question}_{library}_vs_ours"] = _measure(key), _measure(f"{question}.{OURS}")
    return ratios


def _measure(key: str) -> str:
    """Return a measure's name: ours at a percentage is the one that was published first."""
    question, library = key.split(".")
    if (question, library) == (_PERCENTAGE, OURS):
        return "evaluation_p50_us"
    return f"{question}_{library}_p50_us"
