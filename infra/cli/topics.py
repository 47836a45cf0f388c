"""`intentstream topics`: the table of topics, and a broker brought in line with it."""

from __future__ import annotations

import click

from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from streams.acls import Granting, apply_acls
from streams.clients import admin_client
from streams.topics import TOPICS, Action, TopicSpec, apply_topics

DIFFERS = 78
"""The broker has what the settings ask us to take away: somebody must decide."""


@click.group
def command() -> None:
    """Create the topics and bring them in line."""


@command.command("list")
@json_option
def list_topics(*, as_json: bool) -> None:
    """Show the table of topics as the settings make it. Asks no broker."""
    topics = begin().topics
    if as_json:
        print_json([_row(spec, spec.partitions or topics.partitions, spec.config(topics)) for spec in TOPICS])
        return
    for spec in TOPICS:
        cleanup = "compacted" if spec.compacted else _retention(spec)
        click.echo(f"{spec.name:<24} {spec.partitions or topics.partitions:>3} partitions  {cleanup:<14} {spec.key}")


@command.command("apply")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--acls", is_flag=True, help="Give the principals of `acls` the rights of their roles, too.")
@json_option
def apply(*, dry_run: bool, acls: bool, as_json: bool) -> None:
    """Create what is missing and mend what differs.

    Nothing that would lose records or their order is done: such a difference is named, left as it is, and makes the
    exit code 78.
    """
    settings = begin()
    admin = admin_client(settings)
    changes = apply_topics(admin, settings.topics, dry_run=dry_run)
    grants = apply_acls(admin, settings, dry_run=dry_run) if acls else []
    refused = [change for change in changes if change.action is Action.REFUSED]
    if as_json:
        print_json({"dry_run": dry_run, "changes": changes, "refused": len(refused), "acls": grants})
    else:
        for change in changes:
            say(str(change))
        say(_summary(len(changes) - len(refused), len(refused), dry_run=dry_run))
        for grant in grants:
            say(str(grant))
        if acls:
            say(_granted(sum(grant.action is Granting.GRANTED for grant in grants), dry_run=dry_run))
    if refused:
        raise click.exceptions.Exit(DIFFERS)


def _summary(done: int, refused: int, *, dry_run: bool) -> str:
    if not done and not refused:
        return f"All {len(TOPICS)} topics are as they should be."
    changed = f"{done} {'difference' if done == 1 else 'differences'} {'would be mended' if dry_run else 'mended'}"
    return f"{changed}; {refused} left as {'it is' if refused == 1 else 'they are'}." if refused else f"{changed}."


def _granted(rights: int, *, dry_run: bool) -> str:
    if not rights:
        return "Everybody has the rights of their role."
    return f"{rights} {'right' if rights == 1 else 'rights'} {'would be given' if dry_run else 'given'}."


def _row(spec: TopicSpec, partitions: int, config: dict[str, str]) -> dict[str, object]:
    return {
        "name": spec.name,
        "key": spec.key,
        "description": spec.description,
        "partitions": partitions,
        "config": config,
    }


def _retention(spec: TopicSpec) -> str:
    if spec.retention_ms is None:
        return "kept"
    return "kept for ever" if spec.retention_ms < 0 else f"kept {spec.retention_ms // 86_400_000} days"
