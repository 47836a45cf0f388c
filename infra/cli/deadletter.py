"""`intentstream deadletter`: records that could not be processed, listed and sent again."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from streams.deadletters import Place, Plan, Replayed, Selection, plan_replay, read_dead_letters, replay

if TYPE_CHECKING:
    from schemas.events import DeadLetter

NOT_SENT = 69

_code_option = click.option("--code", "codes", multiple=True, help="Only this kind of fault; may be repeated.")


class _PlaceType(click.ParamType):
    """`partition/offset`."""

    name = "partition/offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        partition, _, offset = str(value).rpartition("/")
        if not (partition.isdecimal() and offset.isdecimal()):
            self.fail(f"{value!r} is not partition/offset, such as 3/41.", param, ctx)
        return int(partition), int(offset)


@click.group
def command() -> None:
    """List records that could not be processed, and send them again."""


@command.command("list")
@_code_option
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@click.option("--show-value", is_flag=True, help="Show key and value, too.")
@json_option
def list_dead_letters(*, codes: tuple[str, ...], limit: int | None, show_value: bool, as_json: bool) -> None:
    """Show the dead letters there are: where each stands, what was wrong, where it came from.

    With --json, a line each; key and value, where asked for, in Base64.
    """
    settings = begin()
    counted: Counter[str] = Counter()
    letters = read_dead_letters(settings, Selection(codes=frozenset(codes)))
    for letter in itertools.islice(letters, limit):
        counted[letter.code] += 1
        if as_json:
            print_json(_shown(letter, show_value=show_value))
        else:
            click.echo(_line(letter, show_value=show_value))
    kinds = ", ".join(f"{code} {count}" for code, count in counted.most_common())
    say(f"{counted.total()} dead letters" + (f": {kinds}." if kinds else "."), as_json=as_json)


@command.command("replay")
@_code_option
@click.option("--id", "places", multiple=True, type=_PlaceType(), help="Only this one; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Send without asking.")
@json_option
def replay_dead_letters(
    *, codes: tuple[str, ...], places: tuple[Place, ...], dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Send dead letters back to the topics they came from: key, value and headers as they were.

    A header intentstream.replay.of is added. Dead letters stay in their topic, too. One whose replay failed again is
    not sent again, for its newer dead letter stands for it; one whose replay went well is, and is processed twice.
    What --id names is sent in any case.
    """
    settings = begin()
    plan = plan_replay(settings, Selection(codes=frozenset(codes), places=frozenset(places)))
    _tell(plan, as_json=as_json)
    if plan.places and not dry_run and not yes:
        _ask(len(plan.places))
    done = Replayed(sent=0, failures={}) if dry_run else replay(settings, plan.places)
    if as_json:
        left = [{"id": f"{partition}/{offset}", "reason": why} for (partition, offset), why in plan.left.items()]
        report = {"dry_run": dry_run, "found": len(plan.places), "sent": done.sent}
        print_json(report | {"not_sent": done.failures, "left": left})
    elif not dry_run:
        say(f"{done.sent} of {len(plan.places)} sent.")
    for reason, count in done.failures.items():
        click.echo(f"{count} not sent: {reason}.", err=True)
    if done.failures:
        raise click.exceptions.Exit(NOT_SENT)


def _tell(plan: Plan, *, as_json: bool) -> None:
    for topic, count in plan.topics.items():
        say(f"{count} to send to {topic}.", as_json=as_json)
    for (partition, offset), reason in plan.left.items():
        say(f"{partition}/{offset} stays: {reason}.", as_json=as_json)
    if not plan.places:
        say("Nothing to send.", as_json=as_json)


def _ask(count: int) -> None:
    """Have a person agree; where nobody can be asked, `--yes` must have been said."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{count} records would be sent: say --yes, or look first with --dry-run.")
    if not click.confirm(f"Send {count} records?", err=True):
        raise click.Abort


def _shown(letter: DeadLetter, *, show_value: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": f"{letter.position.partition}/{letter.position.offset}",
        "code": letter.code,
        "reason": letter.reason,
        "source": letter.source,
        "failed_at": letter.failed_at,
        "bytes": len(letter.value or b""),
    }
    return {**shown, "key": letter.key, "value": letter.value} if show_value else shown


def _line(letter: DeadLetter, *, show_value: bool) -> str:
    place = f"{letter.position.partition}/{letter.position.offset}"
    line = f"{place:<10}  {letter.code:<22}  from {letter.source or 'somewhere unknown'}  {letter.reason}"
    return f"{line}\n{'':<12}{letter.value!r}" if show_value else line
