"""`intentstream forget`: makes what a person said unreadable, and deletes what was kept of it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from schemas.events import ForgetRequest
from streams.privacy.forgetting import forget_person
from streams.privacy.parts import person_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.privacy.forgetting import Forgotten

INCOMPLETE = 69

_KEY = {
    "destroyed": "destroyed: nothing that was sealed with it can be opened any more",
    "none": "there is none: nothing was sealed since it was destroyed last, if there ever was one",
    "off": "no text is sealed here: privacy.master_key_file names no file",
}
_TABLES = {
    "done": "their rows are deleted",
    "waiting": "not yet; they will be, as soon as the worker that writes them has got to it",
    "away": "Postgres does not answer; they will be, as soon as it can be written",
    "off": "this machine's settings say that none are written",
}


@click.command
@click.option("--user", "person_id", required=True, metavar="ID", help="The `user_id` of the utterances.")
@click.option("--reason", default="", help="Why; it stands on the log for ever.")
@click.option("--by", "asked_by", help="Who wants it so; left out: who you are on this machine.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="Seconds to wait for the guard, for the workers and for Postgres, each.",
)
@click.option(
    "--count/--no-count", default=True, show_default=True, help="Look for what was never sealed: reads whole topics."
)
@json_option
def command(
    *, person_id: str, reason: str, asked_by: str | None, wait_seconds: float, count: bool, as_json: bool
) -> None:
    """Make what a person said unreadable, and delete what was kept of it.

    What was sealed can then be read by nobody. What was never sealed stays until the topics' retention ends, and is
    counted. Doing it again changes nothing; where something could not be done in time, the exit code is 69.
    """
    settings = begin()
    request = ForgetRequest(person_id=person_id, asked_by=asked_by or getpass.getuser(), reason=reason)
    with person_keys(settings) as keys:
        forgotten = forget_person(settings, keys, request, wait_seconds=wait_seconds, count=count)
    if as_json:
        print_json(forgotten)
    else:
        for line in _lines(forgotten):
            click.echo(line)
    if not forgotten.complete:
        raise click.exceptions.Exit(INCOMPLETE)


def _lines(forgotten: Forgotten) -> Iterator[str]:
    yield f"key       {_KEY[forgotten.key]}"
    lessons = "the guard has not got to it yet" if forgotten.lessons is None else f"{forgotten.lessons} changed"
    yield f"lessons   {lessons}"
    missing = f"; not heard from: {', '.join(forgotten.workers_missing)}" if forgotten.workers_missing else ""
    yield f"workers   {forgotten.workers} obey, after {forgotten.seconds:.2f} s{missing}"
    yield f"Postgres  {_TABLES[forgotten.tables]}"
    if forgotten.plain is not None:
        left = ", ".join(f"{count} on {topic}" for topic, count in forgotten.plain.items() if count)
        yield f"plain     {left or 'nothing'}" + (
            "; stays until retention takes it" if left else " that was not sealed"
        )
