"""`intentstream bench`: measurements that anyone can repeat."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from infra.bench.flags import bench_flags
from infra.bench.growth import bench_growth, write_growth
from infra.bench.intake import bench_intake
from infra.bench.models import bench_models
from infra.bench.nli import bench_nli
from infra.bench.pipeline import bench_pipeline
from infra.bench.pipeline_entrants import EVERYONE
from infra.bench.pipeline_turns import Shape
from infra.bench.report import render
from infra.bench.sealing import bench_sealing
from infra.chaos.utterances import our_texts, read_texts
from infra.cli.session import begin
from models.dataset import load_data_set


@click.group
def command() -> None:
    """Measure this machine against others' work."""


@command.command
@click.option(
    "--texts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts, one a line; else the examples and samples that we ship.",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Of everything.")
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), help="Folder for a picture a curve.")
@click.option("--json", "as_json", is_flag=True, help="Print one object and nothing else on standard output.")
def growth(*, texts: Path | None, rounds: int, plots: Path | None, as_json: bool) -> None:
    """What an answer costs by batch size, text length, number of intents, and number of flags; without Kafka."""
    said = read_texts(texts) if texts else our_texts()
    found = bench_growth(begin(), said, rounds=rounds, say=lambda message: click.echo(message, err=True))
    if plots:
        write_growth(plots, found)
    click.echo(msgspec.json.encode(found.report) if as_json else render(found.report))


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


@command.command
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="Folder of train.jsonl, test.jsonl and so on."
)
@click.option(
    "--release",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a fine-tuned model, as `train --out` writes it.",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Of everyone, in turn.")
@click.option("--peers/--no-peers", default=True, help="Whether to ask transformers and semantic-router, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one object and nothing else on standard output.")
def models(*, data: Path, release: Path | None, rounds: int, peers: bool, as_json: bool) -> None:
    """Texts a second of tiers and strategies, beside ONNX Runtime, transformers and semantic-router; memory; readiness.

    What the folder needs is trained on the first run and kept. uv brings the peers on the first run, into an
    environment of their own: torch and all that comes with it, several gigabytes.
    """
    report = bench_models(
        begin(),
        load_data_set(data),
        release,
        rounds=rounds,
        peers=peers,
        say=lambda message: click.echo(message, err=True),
    )
    click.echo(msgspec.json.encode(report) if as_json else render(report))


@command.command
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Of everything.")
@click.option("--json", "as_json", is_flag=True, help="Print one object and nothing else on standard output.")
def nli(*, rounds: int, as_json: bool) -> None:
    """Milliseconds a text of the NLI model that the settings name, with 10, 50 and 150 intents.

    Without one, of an untrained network of MiniLM's size. Needs the extra `nli`.
    """
    report = bench_nli(begin(), our_texts(), rounds=rounds, say=lambda message: click.echo(message, err=True))
    click.echo(msgspec.json.encode(report) if as_json else render(report))


@command.command
@click.option(
    "--texts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts, one a line; else the examples and samples that we ship.",
)
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of intents, YAML; else that of the settings.",
)
@click.option(
    "--release",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the fine-tuned model that transformers runs.",
)
@click.option("--events", type=click.IntRange(1_000, 10_000_000), default=60_000, show_default=True, help="A turn.")
@click.option("--seconds", type=click.FloatRange(1, 600), default=10, show_default=True, help="Of a turn, at most.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Of everyone, in turn.")
@click.option("--peers/--no-peers", default=True, help="Whether others' work takes part.")
@click.option("--only", multiple=True, type=click.Choice(EVERYONE), help="Who takes part; may be repeated.")
@click.option(
    "--partitions",
    multiple=True,
    type=click.IntRange(1, 1_000),
    help="Of each topic; repeated: how costs grow with them. Default: as the settings have it.",
)
@click.option("--latencies/--no-latencies", default=True, help="Whether latencies at shares of capacity are measured.")
@click.option("--capacity", type=click.FloatRange(min=1), help="Of adaptive, if known: only latencies are measured.")
@click.option("--json", "as_json", is_flag=True, help="Print one object and nothing else on standard output.")
def pipeline(
    *,
    texts: Path | None,
    catalogue: Path | None,
    release: Path | None,
    events: int,
    seconds: float,
    rounds: int,
    peers: bool,
    only: tuple[str, ...],
    partitions: tuple[int, ...],
    latencies: bool,
    capacity: float | None,
    as_json: bool,
) -> None:
    """Kafka to Kafka: utterances a second beside what a user would pick instead; latency, processors, memory.

    Beside transformers, TorchServe, Quix Streams, Bytewax and Faust. Uses an embedded broker in a folder of its own. uv
    brings the peers on the first run, into environments of their own: torch and all that comes with it, several
    gigabytes. Those that it cannot bring are left out, unless --only names them.
    """
    settings = begin()
    if catalogue:
        models_settings = settings.models.model_copy(update={"catalogue": catalogue})
        settings = settings.model_copy(update={"models": models_settings})
    said = read_texts(texts) if texts else our_texts()
    report = bench_pipeline(
        settings,
        said,
        release,
        Shape(
            events=events,
            seconds=seconds,
            rounds=rounds,
            peers=peers,
            only=frozenset(only),
            latencies=latencies,
            capacity=capacity or 0.0,
            partitions=partitions,
        ),
        say=lambda message: click.echo(message, err=True),
    )
    click.echo(msgspec.json.encode(report) if as_json else render(report))


@command.command
@click.option(
    "--texts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts, one a line; else the examples and samples that we ship.",
)
@click.option("--records", type=click.IntRange(100, 50_000), default=2_000, show_default=True, help="Of each.")
@click.option(
    "--people",
    type=click.IntRange(1_000, 10_000_000),
    default=100_000,
    show_default=True,
    help="Whose keys are followed in the end.",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Of everything.")
@click.option("--json", "as_json", is_flag=True, help="Print one object and nothing else on standard output.")
def sealing(*, texts: Path | None, records: int, people: int, rounds: int, as_json: bool) -> None:
    """What texts cost that are sealed with a key per person, beside plain ones; what a key costs that is new.

    Uses an embedded broker in a folder of its own, and a master key of its own. Needs the extra `privacy`.
    """
    report = bench_sealing(
        begin(),
        read_texts(texts) if texts else our_texts(),
        records=records,
        people=people,
        rounds=rounds,
        say=lambda message: click.echo(message, err=True),
    )
    click.echo(msgspec.json.encode(report) if as_json else render(report))
