"""Draws a soak: latency and memory over the run, as SVGs that stand alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.bench.svg import Axis, Plot, alone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.chaos.soak import Outcome

_MOST_POINTS = 300


def write_plots(folder: Path, outcome: Outcome) -> None:
    """Write `soak-latency.svg` and `soak-memory.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    if outcome.windows:
        begun = outcome.windows[0].at
        latency = {
            "p99": [((window.at - begun) / 60, max(1.0, window.p99_ms)) for window in outcome.windows],
            "p50": [((window.at - begun) / 60, max(1.0, window.p50_ms)) for window in outcome.windows],
        }
        (folder / "soak-latency.svg").write_text(_draw("Latency over the run", "ms", latency, logarithmic=True))
    if outcome.vitals:
        begun = outcome.vitals[0].at
        stride = max(1, len(outcome.vitals) // _MOST_POINTS)
        processes = dict.fromkeys(vital.pid for vital in outcome.vitals)
        memory = {
            f"worker {number}": [
                ((vital.at - begun) / 60, vital.memory_mb) for vital in outcome.vitals[::stride] if vital.pid == pid
            ]
            for number, pid in enumerate(processes, start=1)
        }
        (folder / "soak-memory.svg").write_text(_draw("Memory over the run", "resident, MB", memory))


def _draw(title: str, unit: str, lines: dict[str, list[tuple[float, float]]], *, logarithmic: bool = False) -> str:
    """Return a picture of lines over minutes; each has its name at its end."""
    points = [point for line in lines.values() for point in line]
    across = Axis("minutes", 0, _highest(points, 0))
    up = Axis(unit, 1.0 if logarithmic else 0.0, _highest(points, 1) * 1.1, logarithmic=logarithmic)
    plot = Plot(across, up, title)
    for name, line in lines.items():
        if line:
            plot.line(line, "curve")
            plot.dots([(*line[-1], name)], "mark")
    return alone(plot, title)


def _highest(points: Sequence[tuple[float, float]], place: int) -> float:
    return max((point[place] for point in points), default=1.0) or 1.0
