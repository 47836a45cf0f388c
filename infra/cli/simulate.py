"""`intentstream simulate`: streams whose truth is known, and the core among faults, played with time of their own."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click
import msgspec

from infra.bench.learning import Asked, Attack, play
from infra.bench.learning_plot import render_curves
from infra.bench.report import render
from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from infra.simulation.many import simulate
from models.dataset import load_data_set


@click.group
def command() -> None:
    """Play a stream to people who correct it, or the core among faults, with time of its own."""


@command.command("learning")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of train.jsonl, test.jsonl and so on; as for `evaluate`.",
)
@click.option(
    "--from-shots", "shots", type=click.IntRange(1, 1_000), default=5, show_default=True, help="Examples to begin with."
)
@click.option("--utterances", type=click.IntRange(100, 1_000_000), default=4_000, show_default=True, help="To stream.")
@click.option("--people", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Who say and correct.")
@click.option("--hostile", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="The share who lie.")
@click.option(
    "--attack",
    type=click.Choice(get_args(Attack)),
    default="random",
    show_default=True,
    help="What they say: any intent, or all the same one.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of all chance.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the curve as SVG here.")
@json_option
def learning(
    *,
    data: Path,
    shots: int,
    utterances: int,
    people: int,
    hostile: float,
    attack: str,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Stream the training texts to people who correct one error in four, from a few examples an intent on.

    Hostile people call every answer that they get wrong, within their quota. After every 500 utterances the test texts
    are asked, of which nobody says anything.
    """
    settings = begin()
    asked = Asked(
        utterances=utterances,
        people=people,
        hostile=hostile,
        attack=cast("Attack", attack),
        retrain_after=settings.learning.retrain_after,
        every=500,
        seed=seed,
    )
    start = load_data_set(data, shots=shots, seed=seed)
    played = play(
        settings, start, load_data_set(data).train, asked, lambda message: click.echo(f"{message} …", err=True)
    )
    if plot is not None:
        plot.write_text(render_curves(f"{start.name}, {shots} examples an intent", {"": played.curve}), "utf-8")
    if as_json:
        curve = [mark._asdict() for mark in played.curve]
        print_json({**msgspec.to_builtins(played.report), "curve": curve})
    else:
        click.echo(render(played.report))


@command.command("core")
@click.option(
    "--runs", type=click.IntRange(1, 10_000_000), default=1_000, show_default=True, help="Each of its own seed."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the first run.")
@json_option
@click.pass_context
def core(context: click.Context, *, runs: int, seed: int, as_json: bool) -> None:
    """Run the core under a simulated clock, broker and models, with faults everywhere; fail if a promise is broken.

    A run that broke one is named by its seed: `--seed SEED --runs 1` plays it again, exactly.
    """
    simulated = simulate(runs=runs, seed=seed, say=lambda message: click.echo(message, err=True))
    if as_json:
        print_json({**msgspec.to_builtins(simulated.report), "broken": [each._asdict() for each in simulated.broken]})
    else:
        click.echo(render(simulated.report))
    if simulated.broken:
        context.exit(1)
