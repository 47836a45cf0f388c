"""`intentstream models`: releases of the fine-tuned tier and of the catalogue, announced to every worker."""

from __future__ import annotations

import getpass
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from confluent_kafka import Consumer, Producer

from flags.clients import reader_config, writer_config
from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from models.catalogue import default_catalogue_path, load_catalogue
from models.catalogue_release import CATALOGUE_FILE, make_catalogue_release
from models.distilbert import LABELS_FILE, check_labels
from models.prediction import TierUnavailableError
from models.release import CATALOGUE, DISTILBERT
from models.store import fetch_file, push_release
from schemas.errors import IntentStreamError
from streams.clients import client_config
from streams.release_writer import ReleaseWriter, previous_of
from streams.topics import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.catalogue import Catalogue
    from schemas.events import ModelRelease
    from schemas.settings import Settings
    from streams.release_log import ReleaseLog

_model_argument = click.argument("model", type=click.Choice([DISTILBERT, CATALOGUE]))
_reason_option = click.option("--reason", default="", help="Why; it stands in the log.")
_by_option = click.option("--by", "changed_by", help="Who does it; left out: who you are on this machine.")


class MismatchedReleaseError(IntentStreamError):
    """A fine-tuned model and a catalogue that do not go together; one must be made anew. Nothing was written."""

    code = "mismatched_release"
    http_status = 422
    exit_code = 65


@click.group
def command() -> None:
    """Push, promote and roll back releases of models and catalogue."""


@command.command("list")
@json_option
def list_releases(*, as_json: bool) -> None:
    """Show every release that was pushed, and which serve."""
    with _writer(begin()) as writer:
        log = writer.read()
    if as_json:
        print_json({"serving": log.serving, "pushed": log.pushed()})
        return
    for record in log.pushed():
        serving = log.serving.get(record.name)
        mark = "serving" if serving is not None and serving.release == record.release else ""
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
    with tempfile.TemporaryDirectory() as scratch, _writer(settings) as writer:
        made = folder or Path(scratch) / CATALOGUE
        if catalogue is not None:
            make_catalogue_release(made, catalogue)
        location, sha256, manifest = push_release(made, where)
        record = writer.announce(location, sha256, manifest, by=by, reason=reason)
        if promote:
            _check(settings, writer.read(), record)
            record = writer.promote(record.name, record.release, by=by, reason=reason)
        _report(writer, record, as_json=as_json)


@command.command("promote")
@_model_argument
@click.argument("release")
@_reason_option
@_by_option
@json_option
def promote_release(*, model: str, release: str, reason: str, changed_by: str | None, as_json: bool) -> None:
    """Have every worker serve a release that was pushed."""
    settings = begin()
    with _writer(settings) as writer:
        log = writer.read()
        _check(settings, log, log.find(model, release))
        record = writer.promote(model, release, by=changed_by or getpass.getuser(), reason=reason)
        _report(writer, record, as_json=as_json)


@command.command("rollback")
@_model_argument
@_reason_option
@_by_option
@json_option
def roll_back(*, model: str, reason: str, changed_by: str | None, as_json: bool) -> None:
    """Have every worker serve again what served before; once more, and it is what served before that."""
    settings = begin()
    with _writer(settings) as writer:
        log = writer.read()
        _check(settings, log, log.find(model, previous_of(log, model)[0]))
        record = writer.roll_back(model, by=changed_by or getpass.getuser(), reason=reason)
        _report(writer, record, as_json=as_json)


@contextmanager
def _writer(settings: Settings) -> Iterator[ReleaseWriter]:
    """Open the writer that the settings lead to, and close it after."""
    client = client_config(settings)
    writer = ReleaseWriter(
        new_producer=lambda: Producer(writer_config(client, settings.worker.group_id, purpose="models-writer")),
        new_consumer=lambda: Consumer(reader_config(client)),
        topic=MODELS,
    )
    try:
        yield writer
    finally:
        writer.close()


def _check(settings: Settings, log: ReleaseLog, record: ModelRelease) -> None:
    """Return if workers could serve a release: it can be fetched, and a fine-tuned one fits the catalogue that serves.

    Raises:
        MismatchedReleaseError: It tells other intents apart.
        IntentStreamError: It cannot be had.
    """
    if record.name == CATALOGUE:
        _catalogue_of(record)
        return
    announced = log.serving.get(CATALOGUE)
    catalogue = _catalogue_of(announced) if announced else _own_catalogue(settings)
    fault = _misfit(record, catalogue)
    if fault is not None:
        raise MismatchedReleaseError(
            f"The release {record.release} does not go with the catalogue {catalogue.name} that serves: {fault}. "
            "Push and promote the catalogue that it was trained for first."
        )


def _misfit(record: ModelRelease, catalogue: Catalogue) -> str | None:
    try:
        check_labels(fetch_file(record.location, record.sha256, LABELS_FILE), catalogue.labels)
    except TierUnavailableError as error:
        return str(error)
    return None


def _own_catalogue(settings: Settings) -> Catalogue:
    return load_catalogue(settings.models.catalogue or default_catalogue_path())


def _catalogue_of(record: ModelRelease) -> Catalogue:
    content = fetch_file(record.location, record.sha256, CATALOGUE_FILE)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / CATALOGUE_FILE
        file.write_bytes(content)
        return load_catalogue(file)


def _report(writer: ReleaseWriter, record: ModelRelease, *, as_json: bool) -> None:
    """Say what was written; and whether the fine-tuned model that serves is left out with this catalogue."""
    left_out = None
    if record.name == CATALOGUE and record.state == "serving":
        tuned = writer.read().serving.get(DISTILBERT)
        if tuned is not None and _misfit(tuned, _catalogue_of(record)) is not None:
            left_out = tuned.release
    if as_json:
        print_json(msgspec.structs.asdict(record) | ({"left_out": left_out} if left_out else {}))
        return
    if record.state == "candidate":
        click.echo(f"{record.name} {record.release} is at {record.location}. To have it served:")
        click.echo(f"  intentstream models promote {record.name} {record.release}")
        return
    click.echo(f"{record.name} {record.release} is to serve (revision {record.revision}).")
    if left_out:
        click.echo(f"distilbert {left_out} tells other intents apart, and is left out until one is trained for these.")
