"""Many runs, each by a seed of its own, on all processors; what broke is named by its seed."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

from infra.bench.report import Report, new_report
from infra.simulation.run import play

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from infra.simulation.run import Played

_CHUNK = 25
_MOST_SHOWN = 20


class Broken(NamedTuple):
    """A run that broke a promise; `--seed SEED --runs 1` plays it again."""

    seed: int
    invariant: str
    detail: str


class Simulated(NamedTuple):
    """What many runs came to.

    Attributes:
        report: The numbers.
        broken: The first runs that broke a promise.
    """

    report: Report
    broken: list[Broken]


def simulate(*, runs: int, seed: int, say: Callable[[str], None]) -> Simulated:
    """Play runs of the seeds from `seed` on.

    Args:
        runs: How many.
        seed: Of the first.
        say: Is told how it goes.
    """
    begun, started, computed = time.time(), time.monotonic(), 0.0
    played: list[Played] = []
    broken: list[Broken] = []
    chunks = [range(first, min(first + _CHUNK, seed + runs)) for first in range(seed, seed + runs, _CHUNK)]
    processes = min(os.cpu_count() or 1, len(chunks))
    with _pool(processes) as pool:
        for seeds, (chunk, seconds) in zip(chunks, pool.map(_play_chunk, chunks), strict=True):
            computed += seconds
            played += chunk
            broken += [
                Broken(number, *run.violation)
                for number, run in zip(seeds, chunk, strict=True)
                if run.violation is not None
            ]
            say(f"{len(played):,} of {runs:,} runs, {len(broken)} broken")
    elapsed = time.monotonic() - started
    simulated = sum(run.simulated_seconds for run in played)
    measures = {
        "runs": float(runs),
        "broken_runs": float(len(broken)),
        "records": float(sum(run.records for run in played)),
        "faults": float(sum(run.faults for run in played)),
        "simulated_seconds": simulated,
        "simulated_seconds_per_run": statistics.median(run.simulated_seconds for run in played),
        "elapsed_seconds": elapsed,
        "processor_seconds": computed,
        "runs_per_minute": runs / elapsed * 60,
    }
    report = new_report(
        "simulate core",
        begun=begun,
        settings={"runs": runs, "seed": seed, "processes": processes},
        measures={name: [value] for name, value in measures.items()},
        ratios={
            "faster_than_real": ("simulated_seconds", "elapsed_seconds"),
            "faster_than_real_per_processor": ("simulated_seconds", "processor_seconds"),
        },
        notes=[f"seed {each.seed}: {each.invariant}: {each.detail}" for each in broken[:_MOST_SHOWN]],
    )
    return Simulated(report, broken[:_MOST_SHOWN])


def _pool(processes: int) -> AbstractContextManager[Executor]:
    """Return what plays chunks; a single one is not worth a process, which takes seconds to start."""
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn")) if processes > 1 else ThreadPoolExecutor(1)


def _play_chunk(seeds: range) -> tuple[list[Played], float]:
    """Return what became of runs, and the processor's seconds that they took."""
    began = time.process_time()
    return [play(seed) for seed in seeds], time.process_time() - began
