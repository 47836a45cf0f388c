"""`intentstream results`: what was answered, asked of Postgres."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING

import click

from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from streams.sink.memory import MOST_RESULTS, OUT_OF_SCOPE, USUAL_DAYS, USUAL_RESULTS, ResultMemory, Wanted
from streams.sink.routes import MOST_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.sink.views import KeptResult

_OUT_OF_SCOPE = "out of scope"

_days_option = click.option(
    "--days", type=click.IntRange(1, MOST_DAYS), default=USUAL_DAYS, show_default=True, help="How many days back."
)


@click.group
def command() -> None:
    """Ask what was answered: recent, by user, by intent, how well."""


@command.command("recent")
@click.option("--user", "user_id", help="Only theirs.")
@click.option("--intent", help=f"Only of this intent; {OUT_OF_SCOPE}: only those out of scope.")
@click.option("--since", help="Only those answered then or later, such as 2026-01-02T03:04:05Z.")
@click.option("--limit", type=click.IntRange(1, MOST_RESULTS), default=USUAL_RESULTS, show_default=True)
@json_option
def recent(*, user_id: str | None, intent: str | None, since: str | None, limit: int, as_json: bool) -> None:
    """Show results, the newest first."""
    wanted = Wanted(user_id=user_id, intent=intent, since=_time(since), limit=limit)
    found = asyncio.run(ResultMemory(begin()).recent(wanted))
    if as_json:
        print_json(found)
        return
    _print(_line(result) for result in found.results)
    if not found.results:
        say("There is no such result.")


@command.command("show")
@click.argument("result_id", metavar="ID")
@json_option
def show(*, result_id: str, as_json: bool) -> None:
    """Show one result, and what people said of it."""
    detail = asyncio.run(ResultMemory(begin()).show(result_id))
    if as_json:
        print_json(detail)
        return
    said = [
        f"{each.said_at:%F %T} {each.person_id or '-'}: {each.kind} {each.intent or ''}" for each in detail.feedback
    ]
    fields = [f"{name}: {value}" for name, value in detail.result.items()]
    _print([f"answered_at: {detail.answered_at:%F %T}", *fields, *said])


@command.command("intents")
@_days_option
@json_option
def intents(*, days: int, as_json: bool) -> None:
    """Show how often each intent was answered, and how surely, by day."""
    insights = asyncio.run(ResultMemory(begin()).intents(days))
    if as_json:
        print_json(insights)
        return
    _print(
        f"{each.day} {each.intent or _OUT_OF_SCOPE:<32} {each.results:>10,} {each.mean_confidence:>8.3f}"
        for each in insights.intents
    )


@command.command("accuracy")
@_days_option
@json_option
def accuracy(*, days: int, as_json: bool) -> None:
    """Show how often people called answers right, by day and intent."""
    insights = asyncio.run(ResultMemory(begin()).accuracy(days))
    if as_json:
        print_json(insights)
        return
    _print(
        f"{each.day} {each.intent or _OUT_OF_SCOPE:<32} {each.right:>8,} of {each.judged:>8,} {each.accuracy:>7.1%}"
        for each in insights.days
    )


def _line(result: KeptResult) -> str:
    return (
        f"{result.answered_at:%F %T} {result.intent or _OUT_OF_SCOPE:<32} {result.confidence:.2f} {result.tier:<12} "
        f"{result.user_id or '-':<16} {result.id}"
    )


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _time(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise click.UsageError(f"--since {text} is no time with its zone, such as 2026-01-02T03:04:05Z.")
    return time
