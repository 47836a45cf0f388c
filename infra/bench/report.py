"""What every benchmark says in the end, for a person and for a program."""

from __future__ import annotations

import os
import platform
import shlex
import statistics
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import psutil

from streams.results import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's run. Names carry their unit and stay as they are once published.

    Attributes:
        report: Which benchmark.
        command: What was typed.
        started_at: RFC 3339, UTC.
        machine: What it ran on.
        settings: What was asked for.
        measures: Medians, by name.
        ratios: Medians of the ratios of runs that stood side by side, by name.
        notes: What a reader must know.
    """

    report: str
    command: str
    started_at: str
    machine: dict[str, str | int | float]
    settings: dict[str, str | int | float]
    measures: dict[str, float]
    ratios: dict[str, float]
    notes: list[str]


def describe_machine() -> dict[str, str | int | float]:
    """Return what decides how fast it is."""
    return {
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def new_report(
    name: str,
    *,
    begun: float,
    settings: Mapping[str, str | int | float],
    measures: Mapping[str, Sequence[float]],
    ratios: Mapping[str, tuple[str, str]],
    notes: Sequence[str],
) -> Report:
    """Return the report of rounds that were run interleaved.

    Args:
        name: Of the benchmark.
        begun: Unix time in seconds.
        settings: What was asked for.
        measures: One value a round, by name.
        ratios: By name, which measure is divided by which; round by round, so that a drift of the machine cancels out.
        notes: What a reader must know.
    """
    return Report(
        report=name,
        command=shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),  # noqa: PTH119 - argv is no path of ours
        started_at=timestamp(begun),
        machine=describe_machine(),
        settings=dict(settings) | {"seconds": round(time.time() - begun, 1)},
        measures={measure: round(statistics.median(values), 3) for measure, values in measures.items()},
        ratios={
            ratio: round(statistics.median(a / b for a, b in zip(measures[over], measures[under], strict=True)), 3)
            for ratio, (over, under) in ratios.items()
        },
        notes=list(notes),
    )


def render(report: Report) -> str:
    """Return a report as lines for a person."""
    width = max(map(len, [*report.measures, *report.ratios]))
    lines = [f"{report.report}, {report.started_at}", f"  {report.command}"]
    lines += [f"  {name}: {value}" for name, value in (report.machine | report.settings).items()]
    lines += [f"{name:<{width}}  {value:>14,.3f}" for name, value in report.measures.items()]
    lines += [f"{name:<{width}}  {value:>14.2f} times" for name, value in report.ratios.items()]
    return "\n".join([*lines, *report.notes])


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a file of the kernel's
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
