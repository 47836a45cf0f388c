"""`intentstream prepare`: everything slow that models need, done ahead of the first worker."""

from __future__ import annotations

import click

from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from models.catalogue import default_catalogue_path, load_catalogue
from models.preparation import prepare


@click.command
@json_option
def command(*, as_json: bool) -> None:
    """Make the models that are not there yet.

    They are made from the catalogue and the installed weights. A worker does the same when it starts; this does it
    ahead, for an image or a release. With --json, a line for each
    step: what comes next, and the share of the whole that is done.
    """
    settings = begin()
    catalogue = load_catalogue(settings.models.catalogue or default_catalogue_path())

    def progress(message: str, share: float) -> None:
        if as_json:
            print_json({"message": message, "share": share})
        else:
            click.echo(f"{share:4.0%}  {message}")

    release = prepare(settings, catalogue, progress)
    if as_json:
        print_json({"release": release})
    else:
        click.echo(f"Release {release}.")
