"""Kafka to Kafka: how fast utterances become results, beside what a user would put together instead.

Everyone reads the same topic, in turn, round after round, each in processes of its own that are warm before anything is
said. The clock runs from the first result that the broker appended to the last. Of several numbers of partitions, each
has a broker of its own, and a side has its turn on all of them before the next side has one.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from infra.bench.broker import benchmark_broker
from infra.bench.pipeline_entrants import ADAPTIVE, BARE, EVERYONE, QUALITY, RULES, installed, ours, peers
from infra.bench.pipeline_sides import Side
from infra.bench.pipeline_topics import make_topics
from infra.bench.pipeline_turns import CPU, PER_SECOND, Run
from infra.bench.report import Report, new_report
from models.catalogue import default_catalogue_path, load_catalogue
from models.classifier import Classifier
from models.router import DISTILBERT, route
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from infra.bench.pipeline_turns import Shape
    from schemas.settings import Settings

_BESIDE_ADAPTIVE = tuple(name for name in EVERYONE if name not in {RULES, ADAPTIVE, QUALITY})
_BARE_BATCH = 512
_SEED = 1

_NOTES = (
    "Everyone finds as many utterances waiting. What is answered first, a tenth or some seconds of it, does not count.",
    "rules, adaptive, quality: one worker, exactly once, its cache and its brown-out off.",
    "at_least_once: adaptive without transactions.",
    "transformers_loop: poll, pipeline in torch fp32, produce, flush, commit; 1 or 32 texts a turn.",
    "torchserve: that loop and that pipeline, 32 texts a turn, each turn a request to TorchServe's one worker.",
    "quix, bytewax, faust: with our classifier, adaptive.",
    "quix: exactly once, a record a call, as its functions are. bytewax, faust: up to 512 a call; faust at least once.",
    "bare_model: that classifier in a loop without Kafka, 512 texts a call.",
    "Latencies: adaptive, from before a producer is told to send to a read_committed reader's having the result.",
)


def bench_pipeline(
    settings: Settings, texts: Sequence[str], release: Path | None, shape: Shape, say: Callable[[str], None]
) -> Report:
    """Measure everyone, interleaved; then how long answers take.

    Args:
        settings: Of models and catalogue. The broker is an embedded one.
        texts: What is said, in an order of chance: a file may have them by intent, and a batch of one is no batch.
        release: Of the fine-tuned model, for transformers; None: it runs one of that size that has learnt nothing.
        shape: How it is measured.
        say: Told what is being done.

    Raises:
        UnavailableError: The broker or a side could not be run.
    """
    begun = time.time()
    texts = list(texts)
    Random(_SEED).shuffle(texts)  # noqa: S311 - no secret
    catalogue = load_catalogue(settings.models.catalogue or default_catalogue_path())
    sides = ours()
    if shape.peers:
        sides += peers(threads=settings.models.threads, labels=len(catalogue.labels), release=release)
    sides = installed([side for side in sides if shape.has(side.name)], named=shape.only, say=say)
    numbers = sorted(set(shape.partitions)) or [settings.topics.partitions]
    suffixes = {number: f"_at_{number}_partitions" if len(numbers) > 1 else "" for number in numbers}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs = {}
        for number, suffix in suffixes.items():
            there = stack.enter_context(benchmark_broker(_with_partitions(settings, number), say, own=True))
            make_topics(there, [side.sink for side in sides if side.peer])
            runs[suffix] = Run(there, texts, shape, folder, say, where=suffix.replace("_", " "))
        bare = _take_turns(list(runs.values()), sides, shape, lambda: asyncio.run(_bare(settings, texts, shape)), say)
    measures = {f"{name}{suffix}": found for suffix, run in runs.items() for name, found in run.measures.items()}
    if bare:
        measures[f"{BARE}_{PER_SECOND}"] = bare
    return new_report(
        "bench pipeline",
        begun=begun,
        settings={
            "texts": len(texts),
            "intents": len(catalogue.labels),
            "release": release.name if release else "none",
            "threads": settings.models.threads,
            "partitions": numbers[0] if len(numbers) == 1 else ", ".join(map(str, numbers)),
            "events": shape.events,
            "seconds": shape.seconds,
            "rounds": shape.rounds,
        },
        measures=measures,
        ratios=_ratios(measures, list(suffixes.values())),
        notes=_NOTES,
    )


def _take_turns(
    runs: Sequence[Run],
    sides: Sequence[Side],
    shape: Shape,
    ask_bare: Callable[[], float],
    say: Callable[[str], None],
) -> list[float]:
    """Have everyone measured, and return what the bare model answered a second, round by round."""
    bare = []
    for number in range(1, shape.rounds + 1):
        for side in sides:
            for run in runs:
                run.throughput(side, number)
        if shape.has(BARE):
            bare.append(ask_bare())
            say(f"round {number} of {shape.rounds}: {BARE} {bare[-1]:,.0f} a second")
    if shape.latencies and (shape.capacity or shape.has(ADAPTIVE)):
        for run in runs:
            run.latency(Side(ADAPTIVE))
    return bare


def _with_partitions(settings: Settings, partitions: int) -> Settings:
    return settings.model_copy(update={"topics": settings.topics.model_copy(update={"partitions": partitions})})


async def _bare(settings: Settings, texts: Sequence[str], shape: Shape) -> float:
    """Return how many texts a second the classifier answers without Kafka, and so without partitions."""
    catalogue = load_catalogue(settings.models.catalogue or default_catalogue_path())
    async with Classifier(settings, catalogue, share=False) as classifier:
        await classifier.loaded()
        tuned = not classifier.tiers[DISTILBERT].missing
        way = route(Strategy.ADAPTIVE, distilbert=tuned, zero_shot=True)
        answered, begun = 0, time.perf_counter()
        while (passed := time.perf_counter() - begun) < shape.seconds:
            at = answered % len(texts)
            some = texts[at : at + _BARE_BATCH]
            await classifier.classify(some, way, caching=False)
            answered += len(some)
    return answered / passed


def _ratios(measures: Collection[str], suffixes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return what is divided by what: adaptive by each who does as much, and costs by those with the fewest partitions.

    Args:
        measures: The names of what was measured.
        suffixes: Which they end with, that of the fewest partitions first.
    """
    ratios = {}
    for suffix in suffixes:
        for name in _BESIDE_ADAPTIVE:
            theirs = "" if name == BARE else suffix
            ratios[f"adaptive_vs_{name}{suffix}"] = f"{ADAPTIVE}_{PER_SECOND}{suffix}", f"{name}_{PER_SECOND}{theirs}"
    fewest, *more = suffixes
    for suffix in more:
        for name in EVERYONE:
            ratio = f"{name}_cpu_seconds{suffix}_vs{fewest.removeprefix('_at')}"
            ratios[ratio] = f"{name}_{CPU}{suffix}", f"{name}_{CPU}{fewest}"
    return {ratio: (over, under) for ratio, (over, under) in ratios.items() if over in measures and under in measures}
