"""`intentstream models`: releases of the fine-tuned tier and of the catalogue, announced to every worker."""

from __future__ import annotations

import getpass
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from models.catalogue_release import make_catalogue_release
from models.release import CATALOGUE, DISTILBERT, ZERO_SHOT
from models.store import push_release
from streams.release_acts import ReleaseActs

if TYPE_CHECKING:
    from schemas.events import ModelRelease

_model_argument = click.argument("model", type=click.Choice([DISTILBERT, CATALOGUE, ZERO_SHOT]))
_reason_option = click.option("--reason", default="", help="Why; it stands in the log.")
_by_option = click.option("--by", "changed_by", help="Who does it; left out: who you are on this machine.")


@click.group
def command() -> None:
    """Push, promote and roll back releases of models and catalogue."""


@command.command("list")
@json_option
def list_releases(*, as_json: bool) -> None:
    """Show every release that was pushed, and which serve."""
    with ReleaseActs(begin()) as acts:
        log = acts.read()
    if as_json:
        print_json({"serving": log.serving, "pushed": log.pushed()})
        return
    for record in log.pushed():
        serving = log.serving.get(record.name)
        tried = record.trial.stage if record == log.trial and record.trial is not None else ""
        mark = "serving" if serving is not None and serving.release == record.release else tried
        metrics = "  ".join(f"{name} {value:g}" for name, value in record.metrics.items() if name.startswith("test_"))
        click.echo(f"{record.name:<10} {record.release}  {mark:<7}  {record.released_at}  {record.reason}  {metrics}")
    if not log.pushed():
        click.echo("No release was pushed; workers serve what is installed on their machines.")


@command.command("push")
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--catalogue", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Push this catalogue instead."
)
@click.option("--store", help="An fsspec URL of the folder for it; left out: as the settings say.")
@click.option("--promote", is_flag=True, help="Have it served at once.")
@_reason_option
@_by_option
@json_option
def push(
    *,
    folder: Path | None,
    catalogue: Path | None,
    store: str | None,
    promote: bool,
    reason: str,
    changed_by: str | None,
    as_json: bool,
) -> None:
    """Copy a release to the store, and say that it is there.

    FOLDER is what `intentstream train --out` wrote. Nothing serves it before it is promoted.
    """
    if (folder is None) == (catalogue is None):
        raise click.UsageError("Name the folder of a release, or a --catalogue.")
    settings = begin()
    where = store or settings.models.store or str((settings.state_folder / "releases").resolve())
    by = changed_by or getpass.getuser()
    with tempfile.TemporaryDirectory() as scratch, ReleaseActs(settings) as acts:
        made = folder or Path(scratch) / CATALOGUE
        if catalogue is not None:
            make_catalogue_release(made, catalogue)
        location, sha256, manifest = push_release(made, where)
        record = acts.announce(location, sha256, manifest, by=by, reason=reason)
        if promote:
            record = acts.promote(record.name, record.release, by=by, reason=reason)
        _report(acts, record, as_json=as_json)


@command.command("promote")
@_model_argument
@click.argument("release")
@_reason_option
@_by_option
@json_option
def promote_release(*, model: str, release: str, reason: str, changed_by: str | None, as_json: bool) -> None:
    """Have every worker serve a release that was pushed."""
    with ReleaseActs(begin()) as acts:
        record = acts.promote(model, release, by=changed_by or getpass.getuser(), reason=reason)
        _report(acts, record, as_json=as_json)


@command.command("shadow")
@_model_argument
@click.argument("release")
@_reason_option
@_by_option
@json_option
def shadow_release(*, model: str, release: str, reason: str, changed_by: str | None, as_json: bool) -> None:
    """Try a release that was pushed beside what serves: asked about live traffic, then rolled out, then promoted."""
    with ReleaseActs(begin()) as acts:
        record = acts.shadow(model, release, by=changed_by or getpass.getuser(), reason=reason)
        _report(acts, record, as_json=as_json)


@command.command("rollback")
@_model_argument
@_reason_option
@_by_option
@json_option
def roll_back(*, model: str, reason: str, changed_by: str | None, as_json: bool) -> None:
    """End what is tried; else have every worker serve again what served before, and what did before that."""
    with ReleaseActs(begin()) as acts:
        record = acts.roll_back(model, by=changed_by or getpass.getuser(), reason=reason)
        _report(acts, record, as_json=as_json)


def _report(acts: ReleaseActs, record: ModelRelease, *, as_json: bool) -> None:
    """Say what was written; and whether the fine-tuned model that serves is left out with this catalogue."""
    left_out = acts.left_out(record)
    if as_json:
        print_json(msgspec.structs.asdict(record) | ({"left_out": left_out} if left_out else {}))
        return
    if record.trial is not None and record.state == "candidate":
        said = {"withdrawn": "is not tried any more; what serves goes on"}
        how = said.get(record.trial.stage, "is tried beside what serves")
        click.echo(f"{record.name} {record.release} {how} (revision {record.revision}).")
        return
    if record.state == "candidate":
        click.echo(f"{record.name} {record.release} is at {record.location}. To have it served:")
        click.echo(f"  intentstream models promote {record.name} {record.release}")
        return
    click.echo(f"{record.name} {record.release} is to serve (revision {record.revision}).")
    if left_out:
        click.echo(f"distilbert {left_out} tells other intents apart, and is left out until one is trained for these.")
