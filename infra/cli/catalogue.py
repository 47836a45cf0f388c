"""`intentstream catalogue`: the intents, checked for what would mislead a model, or listed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from models.catalogue import default_catalogue_path, load_catalogue
from models.catalogue_check import check_catalogue

FAULTY = 65

_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group
def command() -> None:
    """Check a catalogue of intents, or list it."""


@command.command("check")
@click.argument("file", type=_file)
@json_option
def check(*, file: Path, as_json: bool) -> None:
    """Report duplicates, overlaps, too few examples and faults, each with its line.

    The exit code is 65 if there is an error; warnings alone leave it 0.
    """
    findings = check_catalogue(file)
    counted = Counter(finding.severity for finding in findings)
    if as_json:
        print_json({"file": str(file), "findings": findings, "errors": counted["error"]})
    else:
        for finding in findings:
            click.echo(f"{file}:{finding.line}: {finding.severity}: {finding.message} [{finding.code}]")
    say(f"{file}: {counted['error']} errors, {counted['warning']} warnings.", as_json=as_json)
    if counted["error"]:
        raise click.exceptions.Exit(FAULTY)


@command.command("list")
@click.argument("file", type=_file, required=False)
@json_option
def list_intents(*, file: Path | None, as_json: bool) -> None:
    """Show the intents of a catalogue; left out: of the one the settings name."""
    catalogue = load_catalogue(file or begin().models.catalogue or default_catalogue_path())
    if as_json:
        print_json(catalogue)
        return
    for intent in catalogue.intents:
        click.echo(f"{intent.name:<28} {len(intent.examples):>4} examples  {intent.description}")
    say(f"{catalogue.name}: {len(catalogue.intents)} intents, {len(catalogue.out_of_scope)} texts out of scope.")
