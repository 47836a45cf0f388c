"""Draws how accuracy goes up while people correct, as an SVG that stands alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.bench.svg import Axis, Plot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.bench.learning import Mark

_STYLE = """<style>
svg { background: #fff; font: 12px system-ui, sans-serif } text { fill: #57606a }
.grid { stroke: #dfe4ea } .curve { fill: none; stroke: #1f6feb; stroke-width: 2 } .mark { fill: #1f6feb }
@media (prefers-color-scheme: dark) {
  svg { background: #12161c } text { fill: #93a0b2 } .grid { stroke: #2a323d }
  .curve { stroke: #6ea8fe } .mark { fill: #6ea8fe }
}
</style>"""


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
    # What is in a page is styled by it; what stands alone brings its own.
    return plot.svg().replace(">", f' xmlns="http://www.w3.org/2000/svg"><title>{title}</title>{_STYLE}', 1) + "\n"
