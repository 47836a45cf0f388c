"""`intentstream chaos`: breaks everything on purpose, and says whether anything was lost."""

from __future__ import annotations

from random import SystemRandom

import click

from infra.bench.report import render
from infra.chaos.run import Plan, run_chaos
from infra.chaos.schedule import Kind
from infra.cli.output import json_option, print_json
from infra.cli.session import begin


@click.command
@click.option("--faults", type=click.IntRange(1, 10_000), default=30, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="The same deals the same again; else by chance.")
@click.option("--workers", type=click.IntRange(1, 32), default=2, show_default=True, help="How many are started.")
@click.option("--rate", type=click.FloatRange(1, 100_000), default=100, show_default=True, help="Utterances a second.")
@click.option(
    "--only",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="Faults of this kind; may be repeated.",
)
@json_option
def command(*, faults: int, seed: int | None, workers: int, rate: float, kinds: tuple[str, ...], as_json: bool) -> None:
    """Break everything on purpose, and see that nothing is lost.

    Deals faults to a broker, Redis, Postgres and workers of its own, by a seed, and checks every promise afterwards.
    Exit code 1: something did not hold; the report says what, and the seed deals the same faults again.
    """
    plan = Plan(
        faults=faults,
        seed=SystemRandom().randrange(2**31) if seed is None else seed,
        workers=workers,
        per_second=rate,
        kinds=tuple(map(Kind, kinds)) or tuple(Kind),
    )
    outcome = run_chaos(begin(), plan, say=lambda message: click.echo(f"{message} …", err=True))
    if as_json:
        print_json(outcome.report)
    else:
        click.echo(render(outcome.report))
    if outcome.findings.broken:
        raise click.exceptions.Exit(1)
