"""`intentstream flags`: what they are, what they were, and changing them with a reason."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from confluent_kafka import Consumer

from flags.clients import reader_config
from flags.edits import EDITABLE, Edit, flag_state
from flags.environment import read_overrides
from flags.errors import InvalidFlagError
from flags.evaluation import Context, Snapshot
from flags.history import differences, read_history, state_at
from flags.log_reader import LogReader
from infra.cli.flag_writer import flag_writer
from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from schemas.errors import InvalidEventError, UnknownFlagError
from schemas.events import FlagChange
from streams.clients import client_config
from streams.topics import FLAGS_AUDIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flags.writer import Writer
    from schemas.settings import Settings

_INVALID_INPUT = "invalid_input"
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(FlagChange) if not field.required}

_reason_option = click.option("--reason", default="", help="Why; it stands in the history for ever.")
_by_option = click.option("--by", "changed_by", help="Who changes it; left out: who you are on this machine.")


@click.group
def command() -> None:
    """Show, check and change feature flags."""


@command.command("list")
@json_option
def list_flags(*, as_json: bool) -> None:
    """Show every flag as the changelog has it, ours and those that were added."""
    with flag_writer(begin()) as writer:
        changes = writer.read().changes
    snapshot = _snapshot(changes)
    states = [state for name in _names(changes) if (state := flag_state(name, changes)) is not None]
    if as_json:
        print_json([msgspec.structs.asdict(state) for state in states])
        return
    for state in states:
        where = "overridden by the environment" if state.name in read_overrides(os.environ) else _revision(state)
        click.echo(f"{state.name:<24} {_summary(state):<34} {where}")
    for warning in snapshot.warnings:
        say(warning, as_json=True)


@command.command("get")
@click.argument("name")
@json_option
def get_flag(*, name: str, as_json: bool) -> None:
    """Show one flag, with everything that is set."""
    with flag_writer(begin()) as writer:
        state = _state(name, writer.read().changes)
    if as_json:
        print_json(msgspec.structs.asdict(state))
        return
    for field, value in msgspec.structs.asdict(state).items():
        if value not in (None, "", ()):
            click.echo(f"{field:<20} {_text(value)}")


@command.command("set")
@click.argument("name")
@click.option("--on/--off", "enabled", default=None, help="Switch it.")
@click.option("--percentage", type=float, help="For how many of the users, in steps of 0.001.")
@click.option(
    "--kill/--revive", "killed", default=None, help="Off for everyone, whatever else is set; or not any more."
)
@click.option("--field", "fields", multiple=True, metavar="NAME=JSON", help="Any other field; may be repeated.")
@click.option("--create", is_flag=True, help="Make the flag if there is none.")
@click.option("--delete", is_flag=True, help="Take the flag away; one of ours goes back to its default.")
@click.option(
    "--if-match", type=click.IntRange(min=0), help="Only if the flag is at this revision; 0: only if unchanged."
)
@_reason_option
@_by_option
@json_option
def set_flag(
    *,
    name: str,
    enabled: bool | None,
    percentage: float | None,
    killed: bool | None,
    fields: tuple[str, ...],
    create: bool,
    delete: bool,
    if_match: int | None,
    reason: str,
    changed_by: str | None,
    as_json: bool,
) -> None:
    """Change a flag: what is named changes, everything else stays."""
    named = {"enabled": enabled, "rollout_percentage": percentage, "killed": killed}
    wanted = {field: value for field, value in named.items() if value is not None} | dict(map(_field, fields))
    if not wanted and not delete and not create:
        raise click.UsageError("Say what is to change: --on, --off, --percentage, --kill, --revive, --field, --delete.")
    edit = Edit(
        name=name,
        fields=wanted,
        create=create,
        delete=delete,
        changed_by=changed_by or getpass.getuser(),
        reason=reason,
        expected_revisions=None if if_match is None else {if_match},
    )
    with flag_writer(begin()) as writer:
        written = writer.write(edit)
        warnings = _snapshot(writer.read().changes).warnings
    if as_json:
        print_json(msgspec.structs.asdict(written))
    else:
        now = "deleted" if written.deleted else _summary(written)
        say(f"{written.name} is {now} as of revision {written.revision}.")
    for warning in warnings:
        say(warning, as_json=True)


@command.command("check")
@click.argument("name")
@click.option("--user", "user_id", help="For whom.")
@click.option(
    "--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="More about them; may be repeated."
)
@click.option("--at", "revision", type=click.IntRange(min=0), help="As of this revision.")
@json_option
def check_flag(
    *, name: str, user_id: str | None, attributes: tuple[str, ...], revision: int | None, as_json: bool
) -> None:
    """Say what a flag is for someone, and why. What the environment says counts only for now."""
    settings = begin()
    if revision is None:
        with flag_writer(settings) as writer:
            snapshot = _snapshot(writer.read().changes)
    else:
        changes = state_at(_history(settings), revision)
        snapshot = Snapshot(None, revision, changes=changes)
    if name not in snapshot.names:
        raise UnknownFlagError(f"There is no flag {name!r}; there are {', '.join(snapshot.names)}.")
    answer = snapshot.evaluate(name, Context(user_id=user_id, attributes=dict(map(_pair, attributes))))
    if as_json:
        print_json({"name": name, **msgspec.structs.asdict(answer)})
    else:
        click.echo(f"{_text(answer.value)}  {answer.reason.value}: {answer.detail}  ({answer.origin.value})")


@command.command("history")
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@json_option
def show_history(*, name: str | None, limit: int | None, as_json: bool) -> None:
    """Show every change there was, of one flag or of all: what, who, when, why. With --json, a line each."""
    history = [change for change in _history(begin()) if name in {None, change.name}]
    for change in history[-limit:] if limit else history:
        if as_json:
            print_json(msgspec.structs.asdict(change))
        else:
            what = "deleted" if change.deleted else _summary(change)
            why = f": {change.reason}" if change.reason else ""
            click.echo(f"{change.revision:>6}  {change.changed_at}  {change.name}  {what}  by {change.changed_by}{why}")


@command.command("diff")
@click.argument("before", type=click.IntRange(min=0))
@click.argument("after", type=click.IntRange(min=0), required=False)
@json_option
def diff(*, before: int, after: int | None, as_json: bool) -> None:
    """Show what is different between two revisions; left out, the second is now."""
    history = _history(begin())
    newest = max((change.revision for change in history), default=0)
    old, new = state_at(history, before), state_at(history, newest if after is None else after)
    changed = {
        name: differences(flag_state(name, old), flag_state(name, new))
        for name in sorted(old.keys() | new.keys())
        if flag_state(name, old) is not None or flag_state(name, new) is not None
    }
    changed = {name: fields for name, fields in changed.items() if fields}
    if as_json:
        print_json(changed)
        return
    for name, fields in changed.items():
        for field, (was, is_now) in fields.items():
            click.echo(f"{name}.{field}: {_text(was)} -> {_text(is_now)}")


@command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
def export(*, file: Path | None) -> None:
    """Write every flag's state as JSON, to a file or to standard output; `import` reads it."""
    with flag_writer(begin()) as writer:
        changes = writer.read().changes
    exported = {
        name: {field: getattr(state, field) for field in EDITABLE}
        for name in _names(changes)
        if (state := flag_state(name, changes)) is not None
    }
    text = msgspec.json.format(msgspec.json.encode(exported), indent=2) + b"\n"
    if file is None:
        click.echo(text, nl=False)
    else:
        file.write_bytes(text)


@command.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@_reason_option
@_by_option
@json_option
def import_flags(*, file: Any, dry_run: bool, reason: str, changed_by: str | None, as_json: bool) -> None:
    """Make flags what a file of `export` says; those that are so already stay, those it does not name, too."""
    wanted = _exported(file.read())
    with flag_writer(begin()) as writer:
        different = {name: _different(fields, name, writer.read().changes) for name, fields in wanted.items()}
        edits = [
            Edit(name=name, fields=fields, create=True, changed_by=changed_by or getpass.getuser(), reason=reason)
            for name, fields in different.items()
            if fields is not None
        ]
        if not dry_run:
            _write_in_any_order(writer, edits)
    report = {edit.name: sorted(edit.fields) for edit in edits}
    if as_json:
        print_json({"dry_run": dry_run, "changed": report})
        return
    for name, changed in report.items():
        say(f"{name}: {', '.join(changed)}")
    say(f"{len(report)} flags {'would change' if dry_run else 'changed'}.")


def _different(fields: dict[str, Any], name: str, changes: Mapping[str, FlagChange]) -> dict[str, Any] | None:
    """Return the fields in which a flag is not as wanted; None if it is, which a new flag never is."""
    state = flag_state(name, changes)
    if state is None:
        return fields
    there = _plain(_DEFAULTS) | _plain(state)
    return {field: value for field, value in fields.items() if there.get(field) != value} or None


def _plain(value: object) -> dict[str, Any]:
    """Return a value as JSON has it."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return plain


def _write_in_any_order(writer: Writer, edits: list[Edit]) -> None:
    """Write what needs nothing that is still to come, until all is written.

    Raises:
        InvalidFlagError: What is left makes no sense even after all the rest.
    """
    left = edits
    while left:
        refused: list[tuple[Edit, InvalidFlagError]] = []
        for edit in left:
            try:
                writer.write(edit)
            except InvalidFlagError as error:
                refused.append((edit, error))
        if len(refused) == len(left):
            raise refused[0][1]
        left = [edit for edit, _ in refused]


def _history(settings: Settings) -> list[FlagChange]:
    consumer = Consumer(reader_config(client_config(settings)))
    try:
        return list(read_history(LogReader(consumer, FLAGS_AUDIT)))
    finally:
        consumer.close()


def _snapshot(changes: Mapping[str, FlagChange]) -> Snapshot:
    return Snapshot(read_overrides(os.environ), changes=changes)


def _names(changes: Mapping[str, FlagChange]) -> list[str]:
    ours = Snapshot().names
    return [*ours, *sorted(name for name in changes if name not in ours)]


def _state(name: str, changes: Mapping[str, FlagChange]) -> FlagChange:
    state = flag_state(name, changes)
    if state is None:
        raise UnknownFlagError(f"There is no flag {name!r}; `intentstream flags list` shows those there are.")
    return state


def _summary(state: FlagChange) -> str:
    if state.killed:
        return "killed"
    if not state.enabled:
        return "off"
    share = "" if state.rollout_percentage == 100 else f" for {state.rollout_percentage:g} %"  # noqa: PLR2004 - percent
    rules = f", {len(state.rules)} rules" if state.rules else ""
    return f"on{share}{rules}"


def _revision(state: FlagChange) -> str:
    return f"revision {state.revision} by {state.changed_by}" if state.revision else "default"


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _field(text: str) -> tuple[str, Any]:
    """Return `NAME=JSON` as a name and a value."""
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"--field {text} is not NAME=JSON, such as salt='\"autumn\"'.")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise click.UsageError(f"--field {name} is no JSON: {error}.") from error


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"--attribute {text} is not NAME=VALUE, such as plan=gold.")
    return name, value


def _exported(text: bytes) -> dict[str, dict[str, Any]]:
    """Return what a file of `export` says.

    Raises:
        InvalidEventError: It is none.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEventError(_INVALID_INPUT, f"This is no file of `intentstream flags export`: {error}.") from error
