"""What `intentstream train` shows: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from infra.cli.output import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.training.seen import Seen

_LINE_EVERY_SECONDS = 15.0


class TrainingScreen(Protocol):
    """Where it is shown."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def show(self, seen: Seen) -> None:
        """Show how far it has come."""


@contextmanager
def open_training_screen(*, as_json: bool) -> Iterator[TrainingScreen]:
    """Return the screen that fits standard output; where a program reads that, lines go to standard error."""
    if as_json or not is_terminal():
        yield _Lines(to_error=as_json)
        return
    bar = Progress(
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}", markup=False),
        console=Console(highlight=False),
    )
    with bar:
        yield _Bar(bar)


class _Lines:
    def __init__(self, *, to_error: bool) -> None:
        self._to_error = to_error
        self._shown_at = float("-inf")
        self._epoch = 0

    def say(self, text: str) -> None:
        click.echo(text, err=self._to_error)

    def show(self, seen: Seen) -> None:
        now = time.monotonic()
        if now - self._shown_at < _LINE_EVERY_SECONDS and seen.step < seen.steps and seen.epoch == self._epoch:
            return
        self._shown_at, self._epoch = now, seen.epoch
        self.say(f"{seen.step:>6}/{seen.steps}  epoch {seen.epoch}  {describe(seen)}")


class _Bar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, epoch=1)

    def say(self, text: str) -> None:
        self._bar.console.print(text)

    def show(self, seen: Seen) -> None:
        self._bar.update(
            self._task, completed=seen.step, total=seen.steps, epoch=seen.epoch, description=describe(seen)
        )


def describe(seen: Seen) -> str:
    """Return loss, accuracy and time left in words."""
    minutes, seconds = divmod(round(seen.seconds_left), 60)
    accuracies = f"accuracy {seen.accuracy:6.2%}"
    if seen.validation_accuracy is not None:
        accuracies += f"  validation {seen.validation_accuracy:6.2%}"
    return f"loss {seen.loss:.3f}  {accuracies}  {minutes}:{seconds:02} left"
