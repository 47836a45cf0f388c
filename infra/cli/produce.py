"""`intentstream produce`: utterances from a file or from standard input onto their topic."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import click
import msgspec

from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from infra.cli.utterance_lines import Fault, Format, guess_format, read_utterances
from infra.cli.utterance_producer import UtteranceProducer
from schemas.errors import UnavailableError
from streams.privacy.parts import person_keys

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable

    from schemas.events import Utterance

BAD_LINES = 65
NOT_DELIVERED = 69

_NAMED_LINES = 20
"""Of the bad ones, so many are named, the others counted: a file of another kind has nothing but bad lines."""


class _Source(click.File):
    """A file, or standard input, which whoever started us may have closed."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-" and sys.stdin is None:
            self.fail("standard input is closed; name a file.", param, ctx)
        return super().convert(value, param, ctx)


class _Report(msgspec.Struct):
    """What became of a file."""

    published: int = 0
    delivered: int = 0
    not_delivered: dict[str, int] = {}
    bad_lines: int = 0
    seconds: float = 0.0
    sealed: int | None = None

    @property
    def exit_code(self) -> int:
        if self.not_delivered:
            return NOT_DELIVERED
        return BAD_LINES if self.bad_lines else 0

    def __str__(self) -> str:
        said = f"{self.delivered} utterances delivered in {self.seconds:.1f} s"
        if self.sealed is not None:
            said += f"; {self.sealed} sealed"
        if self.bad_lines:
            said += f"; {self.bad_lines} bad lines passed over"
        for reason, count in self.not_delivered.items():
            said += f"; {count} not delivered: {reason}"
        return f"{said}."


@click.command
@click.argument("file", type=_Source("rb"), default="-")
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "lines", "jsonl", "csv"]),
    default="auto",
    show_default=True,
    help="lines: a text a line; jsonl: an object a line; csv: a header with a column `text`.",
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Utterances a second; left out: all at once.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many utterances.")
@click.option("--user-id", help="Of utterances that name none.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0.1),
    default=15.0,
    show_default=True,
    help="Seconds the broker may be away.",
)
@json_option
def command(
    *,
    file: BinaryIO,
    form: Literal["auto", "lines", "jsonl", "csv"],
    rate: float | None,
    limit: int | None,
    user_id: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Publish utterances from a file or from standard input.

    Texts are sealed where a setting names a master key.

    Lines that hold no utterance are passed over, and the first twenty of them named; the exit code is 65 then, and 69
    if something could not be delivered.
    """
    settings = begin()
    report, started = _Report(), time.monotonic()
    with person_keys(settings) as keys:
        producer = UtteranceProducer(settings, timeout_seconds=timeout_seconds, keys=keys)
        found = read_utterances(file, _format(file, form), max_text_characters=settings.intake.max_text_characters)
        try:
            _publish(producer, found, report, rate=rate, limit=limit, user_id=user_id)
            producer.finish()
        except UnavailableError as error:
            producer.abandon()
            producer.failures[str(error)] += 1
            click.echo(str(error), err=True)
        except KeyboardInterrupt:
            producer.abandon()
            click.echo(f"Stopped; {producer.delivered} utterances were delivered.", err=True)
            raise
        report.sealed = None if keys is None else producer.sealed
    report.delivered, report.not_delivered = producer.delivered, dict(producer.failures)
    if report.bad_lines > _NAMED_LINES:
        click.echo(f"{report.bad_lines - _NAMED_LINES} more bad lines passed over.", err=True)
    report.seconds = time.monotonic() - started
    if as_json:
        print_json(report)
    say(str(report), as_json=as_json)
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _publish(
    producer: UtteranceProducer,
    found: Iterable[Utterance | Fault],
    report: _Report,
    *,
    rate: float | None,
    limit: int | None,
    user_id: str | None,
) -> None:
    """Publish what is good and name what is not, until the end or the limit."""
    started = time.monotonic()
    for utterance in found:
        if isinstance(utterance, Fault):
            report.bad_lines += 1
            if report.bad_lines <= _NAMED_LINES:
                click.echo(f"line {utterance.line}: {utterance.reason}; passed over.", err=True)
            continue
        if rate:
            producer.wait(started + report.published / rate - time.monotonic())
        named = utterance if utterance.user_id or not user_id else msgspec.structs.replace(utterance, user_id=user_id)
        producer.publish(named)
        report.published += 1
        if report.published == limit:
            return


def _format(file: BinaryIO, form: Literal["auto", "lines", "jsonl", "csv"]) -> Format:
    if form != "auto":
        return form
    return guess_format(str(file.name), cast("io.BufferedReader", file).peek(64))
