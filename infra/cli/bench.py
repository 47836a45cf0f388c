"""`intentstream bench`: measurements that anyone can repeat."""

from __future__ import annotations

import click
import msgspec

from infra.bench.flags import bench_flags
from infra.bench.intake import bench_intake
from infra.bench.report import render
from infra.cli.session import begin


@click.group
def command() -> None:
    """Measure this machine against others' work."""


@command.command
@click.option("--events", type=click.IntRange(1_000, 10_000_000), default=400_000, show_default=True, help="A round.")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Of each side, in turn.")
@click.option("--partitions", type=click.IntRange(1, 1_000), default=8, show_default=True, help="Of each topic.")
@click.option("--json", "as_json", is_flag=True, help="Print one object and nothing else on standard output.")
def intake(*, events: int, rounds: int, partitions: int, as_json: bool) -> None:
    """Records a second through the intake, exactly once, beside Quix Streams.

    Uses the broker that the settings name, else an embedded one in a folder of its own. uv brings Quix Streams on
    the first run, into an environment of its own.
    """
    report = bench_intake(
        begin(),
        events=events,
        rounds=rounds,
        partitions=partitions,
        say=lambda message: click.echo(message, err=True),
    )
    click.echo(msgspec.json.encode(report) if as_json else render(report))


@command.command
@click.option("--flips", type=click.IntRange(100, 1_000_000), default=1_000, show_default=True, help="Changes timed.")
@click.option("--followers", type=click.IntRange(1, 100), default=8, show_default=True, help="Processes that follow.")
@click.option(
    "--workers",
    type=click.IntRange(1, 100),
    default=2,
    show_default=True,
    help="Those of them that classify.",
)
@click.option("--rounds", type=click.IntRange(1, 10_000), default=101, show_default=True, help="Of each library.")
@click.option(
    "--decisions", type=click.IntRange(1_000, 10_000_000), default=1_000_000, show_default=True, help="Replayed."
)
@click.option(
    "--revisions",
    type=click.IntRange(10, 100_000),
    default=1_000,
    show_default=True,
    help="Over which they are spread.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object and nothing else on standard output.")
def flags(
    *, flips: int, followers: int, workers: int, rounds: int, decisions: int, revisions: int, as_json: bool
) -> None:
    """Time until a flag change is applied everywhere under full load; what asking costs, beside other SDKs; replay.

    Uses an embedded broker in a folder of its own. uv brings the other SDKs on the first run, into an environment of
    their own.
    """
    report = bench_flags(
        begin(),
        flips=flips,
        followers=followers,
        workers=min(workers, followers),
        rounds=rounds,
        decisions=decisions,
        revisions=revisions,
        say=lambda message: click.echo(message, err=True),
    )
    click.echo(msgspec.json.encode(report) if as_json else render(report))
