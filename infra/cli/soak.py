"""`intentstream soak`: a long run at a steady load while things break, and whether anything grows."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import click

from infra.bench.report import render
from infra.chaos.schedule import Kind
from infra.chaos.soak import KINDS, Plan, run_soak
from infra.chaos.soak_plot import write_plots
from infra.chaos.utterances import our_texts, read_texts
from infra.cli.output import json_option, print_json
from infra.cli.session import begin


@click.command
@click.option("--minutes", type=click.FloatRange(0.5, 10_000), default=60, show_default=True, help="How long.")
@click.option(
    "--load", type=click.FloatRange(0.01, 1), default=0.7, show_default=True, help="Share of the capacity it finds."
)
@click.option("--rate", type=click.FloatRange(1, 100_000), help="Utterances a second, instead of finding the capacity.")
@click.option(
    "--faults-per-hour", type=click.FloatRange(0, 1_000), default=60, show_default=True, help="Evenly spread."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="The same deals the same again; else by chance.")
@click.option("--workers", type=click.IntRange(1, 32), default=1, show_default=True, help="How many are started.")
@click.option(
    "--only",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="Faults of this kind; may be repeated. Else all that leave the workers alive.",
)
@click.option(
    "--overload",
    "overload_seconds",
    type=click.FloatRange(0, 600),
    default=0,
    help="In the end, ten times as many for so many seconds.",
)
@click.option(
    "--texts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts, one a line; else the examples and samples that we ship.",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for pictures of latency and memory over the run.",
)
@json_option
def command(
    *,
    minutes: float,
    load: float,
    rate: float | None,
    faults_per_hour: float,
    seed: int | None,
    workers: int,
    kinds: tuple[str, ...],
    overload_seconds: float,
    texts: Path | None,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Run for long at a steady load while things break, and see that nothing grows.

    Finds out how much the workers can answer, sends them a share of it, and deals faults to a broker, Redis and
    Postgres of its own. Exit code 1: an utterance was lost or answered twice, or memory, descriptors or latency grew.
    """
    plan = Plan(
        seconds=minutes * 60,
        seed=SystemRandom().randrange(2**31) if seed is None else seed,
        load=load,
        per_second=rate or 0.0,
        faults_per_hour=faults_per_hour,
        workers=workers,
        kinds=tuple(map(Kind, kinds)) or KINDS,
        overload_seconds=overload_seconds,
    )
    said = read_texts(texts) if texts else our_texts()
    outcome = run_soak(begin(), plan, said, say=lambda message: click.echo(f"{message} …", err=True))
    if plots:
        write_plots(plots, outcome)
    if as_json:
        print_json(outcome.report)
    else:
        click.echo(render(outcome.report))
    if outcome.broken:
        raise click.exceptions.Exit(1)
