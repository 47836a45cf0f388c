"""`intentstream doctor`: whether a worker could run here, and what to do where it could not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from infra.cli.diagnosis import Finding, Verdict, diagnose
from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from schemas.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

ILL = 1
_COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAULT: "red"}


@click.command
@json_option
def command(*, as_json: bool) -> None:
    """Check everything a worker needs and say what to do.

    The exit code is 1 if there is a fault: a worker could not do its work. Warnings leave it 0.
    """
    findings = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        print_json({"findings": findings, "faults": _count(findings, Verdict.FAULT)})
    else:
        click.echo(f"{_count(findings, Verdict.FAULT)} faults, {_count(findings, Verdict.WARNING)} warnings.")
    if _count(findings, Verdict.FAULT):
        raise click.exceptions.Exit(ILL)


def _findings() -> Iterator[Finding]:
    """Yield what is found, as it is found: some checks take seconds."""
    try:
        settings = begin()
    except InvalidSettingsError as error:
        yield Finding(check="settings", verdict=Verdict.FAULT, said=str(error))
        return
    yield Finding(check="settings", verdict=Verdict.OK, said="All of them fit.")
    yield from diagnose(settings)


def _tell(finding: Finding) -> None:
    verdict = click.style(f"{finding.verdict.value:<8}", fg=_COLOURS[finding.verdict])
    click.echo(f"{verdict} {finding.check:<13} {finding.said}")


def _count(findings: list[Finding], verdict: Verdict) -> int:
    return sum(finding.verdict is verdict for finding in findings)
