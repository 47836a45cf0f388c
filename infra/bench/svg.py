"""Plots as inline SVG, in the colours of the page around them: axes, a line, dots, bars."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WIDTH, _HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 48
_STYLE = """<style>
svg { background: #fff; font: 12px system-ui, sans-serif } text { fill: #57606a }
.grid { stroke: #dfe4ea } .curve { fill: none; stroke: #1f6feb; stroke-width: 2 } .mark { fill: #1f6feb }
@media (prefers-color-scheme: dark) {
  svg { background: #12161c } text { fill: #93a0b2 } .grid { stroke: #2a323d }
  .curve { stroke: #6ea8fe } .mark { fill: #6ea8fe }
}
</style>"""

Dot = tuple[float, float, str]
"""x, y and a name, which a reader sees beside it and on hovering."""


class Axis(NamedTuple):
    """One direction of a plot."""

    title: str
    low: float
    high: float
    logarithmic: bool = False
    form: Callable[[float], str] = "{:g}".format

    def place(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        low, high, at = (math.log10(each) if self.logarithmic else each for each in (self.low, self.high, value))
        return (at - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[float]:
        """Return four to eight round values."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [value for power in powers for value in (10.0**power,) if self.low <= value <= self.high]
        rough = (self.high - self.low) / 5 or 1.0
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Plot:
    """Collects shapes over two axes."""

    def __init__(self, x: Axis, y: Axis, name: str) -> None:
        """Draw the axes; `name` is what a screen reader says."""
        self._x, self._y, self._name = x, y, name
        self._shapes = [self._grid()]

    def line(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """Draw a line in the page's class `style`."""
        path = " ".join(f"{self._across(x):.1f},{self._up(y):.1f}" for x, y in points)
        self._shapes.append(f'<polyline class="{style}" points="{path}"/>')

    def dots(self, dots: Sequence[Dot], style: str, *, named: bool = True) -> None:
        """Draw dots, each with its name beside it."""
        for x, y, name in dots:
            across, up = self._across(x), self._up(y)
            anchor = "end" if across > _WIDTH * 0.7 else "start"
            beside = across + (-8 if anchor == "end" else 8)
            self._shapes.append(
                f'<circle class="{style}" cx="{across:.1f}" cy="{up:.1f}" r="4"><title>{escape(name)}</title></circle>'
            )
            if named:
                self._shapes.append(
                    f'<text x="{beside:.1f}" y="{up + 16:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
                )

    def svg(self) -> str:
        """Return the element."""
        inside = "".join(self._shapes)
        return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(self._name)}">{inside}</svg>'

    def _across(self, x: float) -> float:
        return _LEFT + self._x.place(x) * (_WIDTH - _LEFT - _RIGHT)

    def _up(self, y: float) -> float:
        return _HEIGHT - _BOTTOM - self._y.place(y) * (_HEIGHT - _TOP - _BOTTOM)

    def _grid(self) -> str:
        floor, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        lines = [
            f'<line class="grid" x1="{self._across(x):.1f}" x2="{self._across(x):.1f}" y1="{_TOP}" y2="{floor}"/>'
            f'<text x="{self._across(x):.1f}" y="{floor + 18}" text-anchor="middle">{self._x.form(x)}</text>'
            for x in self._x.ticks()
        ]
        lines += [
            f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{self._up(y):.1f}" y2="{self._up(y):.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{self._up(y) + 4:.1f}" text-anchor="end">{self._y.form(y)}</text>'
            for y in self._y.ticks()
        ]
        middle, centre = (_TOP + floor) / 2, (_LEFT + right) / 2
        return (
            "".join(lines)
            + f'<text x="{centre}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(self._x.title)}</text>'
            + f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
            + f"{escape(self._y.title)}</text>"
        )


def alone(plot: Plot, title: str) -> str:
    """Return a plot as a file of its own: what is in a page is styled by it, what stands alone brings a style."""
    return plot.svg().replace(">", f' xmlns="http://www.w3.org/2000/svg"><title>{title}</title>{_STYLE}', 1) + "\n"


def bars(rows: Sequence[tuple[str, float]], name: str) -> str:
    """Return a chart of horizontal bars, one a named row, each with its value."""
    if not rows:
        return ""
    longest, tall, wide = max(value for _, value in rows), 24, 820
    shapes = []
    for place, (label, value) in enumerate(rows):
        y, length = place * tall, value / longest * 320
        shapes.append(
            f'<text x="430" y="{y + 16}" text-anchor="end">{escape(label)}</text>'
            f'<rect class="bar" x="440" y="{y + 4}" width="{length:.1f}" height="{tall - 8}" rx="2"/>'
            f'<text x="{448 + length:.1f}" y="{y + 16}">{value:g}</text>'
        )
    return (
        f'<svg viewBox="0 0 {wide} {len(rows) * tall}" role="img" aria-label="{escape(name)}">{"".join(shapes)}</svg>'
    )
