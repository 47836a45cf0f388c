"""Draws how accuracy goes up while people correct, as an SVG that stands alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.bench.svg import Axis, Plot, alone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.bench.learning import Mark


def render_curves(title: str, curves: Mapping[str, Sequence[Mark]]) -> str:
    """Return the picture; each curve has its name at its end."""
    marks = [mark for curve in curves.values() for mark in curve]
    rights = [100 * mark.accuracy for mark in marks]
    across = Axis("utterances", 0, max(mark.utterances for mark in marks), form=lambda value: f"{value:,.0f}")
    up = Axis("right of the test texts in scope, %", min(rights) - 0.5, max(rights) + 0.5)
    plot = Plot(across, up, title)
    for name, curve in curves.items():
        points = [(mark.utterances, 100 * mark.accuracy) for mark in curve]
        plot.line(points, "curve")
        plot.dots([(x, y, f"{y:.1f}") for x, y in points], "mark", named=False)
        plot.dots([(*points[-1], f"{name} {points[-1][1]:.1f}".strip())], "mark")
    return alone(plot, title)
