"""`intentstream evaluate`: how good the tiers and strategies are on anybody's labelled texts."""

from __future__ import annotations

from pathlib import Path

import click

from infra.bench.evaluate import Asked, evaluate
from infra.bench.evaluation_page import render_page
from infra.bench.report import render
from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from models.dataset import load_data_set
from schemas.strategies import Strategy


@click.command
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="Folder of train.jsonl, test.jsonl and so on."
)
@click.option(
    "--shots", type=click.IntRange(0, 1_000), help="Learn from so many examples an intent; 0: from the names alone."
)
@click.option(
    "--strategy",
    type=click.Choice([strategy.value for strategy in Strategy]),
    default=Strategy.ADAPTIVE.value,
    show_default=True,
    help="Which way utterances go.",
)
@click.option(
    "--release",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a fine-tuned model, as `train --out` writes it.",
)
@click.option("--refine/--no-refine", default=True, help="With --shots: learn from the other texts, unlabelled.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of what chance decides.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write a page with plots here.")
@json_option
def command(
    *,
    data: Path,
    shots: int | None,
    strategy: str,
    release: Path | None,
    refine: bool,
    seed: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Train on a folder of labelled texts, once, and measure on its test texts.

    Each file holds JSON lines: {"text": ..., "intent": ...}, an intent of null being out of scope. train, val and test,
    oos_train, oos_val and oos_test, and train_5shot and its like are known; any may be missing.
    """
    settings = begin()
    read = load_data_set(data, shots=shots, seed=seed)
    asked = Asked(strategy=Strategy(strategy), release=release, refined=refine, seed=seed)
    found = evaluate(settings, read, asked, lambda message: click.echo(f"{message} …", err=True))
    if html is not None:
        html.write_text(render_page(found.report, found.evaluation), "utf-8")
    if as_json:
        print_json(found.report)
    else:
        click.echo(render(found.report))
