"""What `intentstream up` shows: steps with bars and a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, Self

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from infra.cli.output import is_terminal

if TYPE_CHECKING:
    from types import TracebackType

    from infra.cli.watch import Counts

_PLAIN_EVERY_SECONDS = 5.0


class Screen(Protocol):
    """Where it is shown. May be told from several threads."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def step(self, name: str, message: str, share: float | None = None) -> None:
        """Show how far a step is: in words, and as a share from 0 to 1 where that is known; 1 ends it."""

    def count(self, counts: Counts) -> None:
        """Show the counts, in place of those before."""


def open_screen() -> Screen:
    """Return the screen that fits standard output."""
    return TerminalScreen() if is_terminal() else PlainScreen()


class PlainScreen:
    """Lines for a file or a pipe: each step's words as they change, counts every few seconds if they changed."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._counted: Counts | None = None
        self._counted_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def say(self, text: str) -> None:
        """Print a line."""
        click.echo(text)

    def step(self, name: str, message: str, share: float | None = None) -> None:  # noqa: ARG002 - words do here
        """Print a step's words if they are new."""
        if self._said.get(name) != message:
            self._said[name] = message
            click.echo(f"{name}: {message}")

    def count(self, counts: Counts) -> None:
        """Print the counts, if it is time and they are new."""
        now = time.monotonic()
        if now - self._counted_at < _PLAIN_EVERY_SECONDS:
            return
        if counts.utterances and (self._counted is None or counts[:5] != self._counted[:5]):
            self._counted, self._counted_at = counts, now
            click.echo(describe(counts))


class TerminalScreen:
    """Bars for the steps under way, then one line of counts, below all that was said."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[message]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._steps: dict[str, TaskID] = {}
        self._counts: Counts | None = None
        self._live = Live(get_renderable=self._bottom, console=self._console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line above what moves."""
        self._console.print(Text(text), soft_wrap=True)

    def step(self, name: str, message: str, share: float | None = None) -> None:
        """Move a step's bar; one that ended becomes a line."""
        if name not in self._steps:
            self._steps[name] = self._bars.add_task(name, total=None, message=message)
        if share == 1.0:
            self._bars.remove_task(self._steps.pop(name))
            self._console.print(Text.assemble(("✓ ", "green"), f"{name:<9} {message}"))
            return
        total = None if share is None else 1.0
        self._bars.update(self._steps[name], total=total, completed=share or 0.0, message=message)

    def count(self, counts: Counts) -> None:
        """Show the counts at the bottom."""
        self._counts = counts

    def _bottom(self) -> RenderableType:
        if self._counts is None or self._steps:
            return self._bars
        style = "yellow" if self._counts.degraded else "bold"
        return Text(describe(self._counts), style=style, no_wrap=True, overflow="ellipsis")


def describe(counts: Counts) -> str:
    """Return the counts as one line."""
    tiers = ", ".join(f"{tier} {count}" for tier, count in counts.tiers.items())
    line = f"{counts.utterances} in, {counts.results} answered" + (f" ({tiers})" if tiers else "")
    if counts.results:
        line += f", p50 {counts.p50_ms:.0f} ms, p95 {counts.p95_ms:.0f} ms"
    return f"{line}, {counts.degraded} degraded, {counts.dead_letters} dead letters"
