"""Kafka to Kafka: how fast utterances become results, beside what a user would put together instead.

Everyone reads the same topic, in turn, round after round, each in processes of its own that are warm before anything is
said. The clock runs from the first result that the broker appended to the last.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil

from infra.bench.broker import benchmark_broker
from infra.bench.pipeline_sides import Side, running, usage
from infra.bench.pipeline_topics import Answer, Listener, Said, begin_at_end, make_topics
from infra.bench.report import Report, new_report
from models.catalogue import default_catalogue_path, load_catalogue
from models.classifier import Classifier
from models.router import DISTILBERT, route
from schemas.errors import UnavailableError
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from schemas.settings import Settings

    _Milliseconds = npt.NDArray[np.float64]

RULES, ADAPTIVE, QUALITY, AT_LEAST_ONCE = "rules", "adaptive", "quality", "at_least_once"
LOOP_1, LOOP_32, QUIX, BYTEWAX, BARE = (
    "transformers_loop_1",
    "transformers_loop_32",
    "quix",
    "bytewax",
    "bare_model",
)

EVERYONE = (RULES, ADAPTIVE, AT_LEAST_ONCE, QUALITY, LOOP_1, LOOP_32, QUIX, BYTEWAX, BARE)

_PER_SECOND = "utterances_per_second"
_SHARES = {"quarter": 0.25, "half": 0.5, "three_quarters": 0.75, "nine_tenths": 0.9}
_PERCENTILES = (50, 95, 99)
_HOPS = ("queued", "classified", "appended", "visible")
"""Of an answer's way: until its classification begins, until it ends, until the broker has the result, until a
read_committed reader has it, which is after the commit."""

_FIRST_SECONDS = 60.0
_LAST_SECONDS = 10.0
_BARE_BATCH = 512
_WARM_SHARE = 10
_SEED = 1

_NOTES = (
    "Everyone finds as many utterances waiting. What is answered first, a tenth or some seconds of it, does not count.",
    "rules, adaptive, quality: one worker, exactly once, its cache and its brown-out off.",
    "at_least_once: adaptive without transactions.",
    "transformers_loop: poll, pipeline in torch fp32, produce, flush, commit; 1 or 32 texts a turn.",
    "quix: exactly once, a record a call, as its functions are. bytewax: up to 512 a call. Both call our classifier.",
    "bare_model: that classifier in a loop without Kafka, 512 texts a call.",
    "Latencies: adaptive, from before a producer is told to send to a read_committed reader's having the result.",
)


class Shape(NamedTuple):
    """How it is measured.

    Attributes:
        events: Utterances that are waiting at once.
        seconds: For so long a side is measured, at most.
        rounds: Of everyone.
        peers: Whether the peers take part.
        only: Those who take part, by name; none: all of them.
        capacity: What adaptive can answer, utterances a second, if that is known: then only latencies are measured.
        latencies: Whether those are.
    """

    events: int
    seconds: float
    rounds: int
    peers: bool
    only: frozenset[str] = frozenset()
    capacity: float = 0.0
    latencies: bool = True

    def has(self, name: str) -> bool:
        """Return whether one takes part in what is measured first, by name."""
        return not self.capacity and (not self.only or name in self.only)


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
    loop = ("models", "loop.py")
    told = (str(settings.models.threads), str(len(catalogue.labels)), str(release.resolve()) if release else "")
    sides = [
        Side(RULES, flags=("performance_mode",)),
        Side(ADAPTIVE),
        Side(AT_LEAST_ONCE, settings=(("INTAKE__AT_LEAST_ONCE", "true"),)),
        Side(QUALITY, flags=("quality_mode",)),
    ]
    if shape.peers:
        sides += [
            Side(LOOP_1, peer=(*loop, "1", *told)),
            Side(LOOP_32, peer=(*loop, "32", *told)),
            Side(QUIX, peer=("pipeline", "quix.py")),
            Side(BYTEWAX, peer=("pipeline", "flow.py")),
        ]
    with benchmark_broker(settings, say, own=True) as there, tempfile.TemporaryDirectory() as folder:
        make_topics(there, [side.sink for side in sides if side.peer])
        run = _Run(there, texts, shape, Path(folder), say)
        for number in range(1, shape.rounds + 1):
            for side in sides:
                if shape.has(side.name):
                    run.throughput(side, number)
            if shape.has(BARE):
                run.bare(number)
        if shape.latencies and (shape.capacity or shape.has(ADAPTIVE)):
            run.latency(sides[1])
    others = [
        name
        for name in (AT_LEAST_ONCE, LOOP_1, LOOP_32, QUIX, BYTEWAX, BARE)
        if f"{name}_{_PER_SECOND}" in run.measures
    ]
    return new_report(
        "bench pipeline",
        begun=begun,
        settings={
            "texts": len(texts),
            "intents": len(catalogue.labels),
            "release": release.name if release else "none",
            "threads": settings.models.threads,
            "partitions": settings.topics.partitions,
            "events": shape.events,
            "seconds": shape.seconds,
            "rounds": shape.rounds,
        },
        measures=run.measures,
        ratios={
            f"adaptive_vs_{name}": (f"{ADAPTIVE}_{_PER_SECOND}", f"{name}_{_PER_SECOND}")
            for name in (others if shape.has(ADAPTIVE) else ())
        },
        notes=_NOTES,
    )


class _Run:
    """One run; `measures` has a number a round and name."""

    def __init__(
        self, settings: Settings, texts: Sequence[str], shape: Shape, folder: Path, say: Callable[[str], None]
    ) -> None:
        self.measures: defaultdict[str, list[float]] = defaultdict(list)
        self._settings, self._texts, self._shape = settings, texts, shape
        self._folder, self._say = folder, say
        self._said = Said(settings, texts)

    def throughput(self, side: Side, turn: int) -> None:
        """Have one side answer as fast as it can."""
        begin_at_end(self._settings, side.group)
        with running(side, self._settings, self._folder) as process:
            with Listener(self._settings, side.sink, self._said.begin()) as listener:
                self._said.burst(self._shape.events)
                listener.wait(1, _FIRST_SECONDS)
                listener.wait(self._shape.events // _WARM_SHARE, self._shape.seconds)
                warm, before, beside = len(listener.answers), usage(process), _beside()
                listener.wait(self._shape.events, self._shape.seconds)
                after, spent_beside = usage(process), {name: now - beside[name] for name, now in _beside().items()}
            answers = listener.answers[warm:]
        rate = _rate(side, answers)
        self._say(f"round {turn} of {self._shape.rounds}: {side.name} {rate:,.0f} a second")
        self.measures[f"{side.name}_{_PER_SECOND}"].append(rate)
        spent = after.cpu_seconds - before.cpu_seconds
        self.measures[f"{side.name}_cpu_seconds_per_1000"].append(1000 * spent / len(answers))
        for name, seconds in spent_beside.items():
            self.measures[f"{side.name}_{name}_cpu_seconds_per_1000"].append(1000 * seconds / len(answers))
        self.measures[f"{side.name}_peak_memory_mb"].append(after.peak_memory_mb)

    def bare(self, turn: int) -> None:
        """Have the classifier answer without Kafka."""
        rate = asyncio.run(self._bare())
        self._say(f"round {turn} of {self._shape.rounds}: {BARE} {rate:,.0f} a second")
        self.measures[f"{BARE}_{_PER_SECOND}"].append(rate)

    async def _bare(self) -> float:
        catalogue = load_catalogue(self._settings.models.catalogue or default_catalogue_path())
        async with Classifier(self._settings, catalogue, share=False) as classifier:
            await classifier.loaded()
            tuned = not classifier.tiers[DISTILBERT].missing
            way = route(Strategy.ADAPTIVE, distilbert=tuned, zero_shot=True)
            answered, begun = 0, time.perf_counter()
            while (passed := time.perf_counter() - begun) < self._shape.seconds:
                at = answered % len(self._texts)
                texts = self._texts[at : at + _BARE_BATCH]
                await classifier.classify(texts, way, caching=False)
                answered += len(texts)
        return answered / passed

    def latency(self, side: Side) -> None:
        """Have a side answer what comes at shares of its capacity."""
        capacity = self._shape.capacity or float(np.median(self.measures[f"{side.name}_{_PER_SECOND}"]))
        begin_at_end(self._settings, side.group)
        with running(side, self._settings, self._folder) as process:
            self._at_share(side, process, capacity, 0.25)  # of no account: the first batches find everything cold
            for name, share in _SHARES.items():
                hops = self._at_share(side, process, capacity, share)
                found = np.percentile(hops.sum(axis=0), _PERCENTILES)
                for percentile, milliseconds in zip(_PERCENTILES, found, strict=True):
                    self.measures[f"p{percentile}_ms_at_{name}_capacity"].append(float(milliseconds))
                for hop, milliseconds in zip(_HOPS, hops.mean(axis=1), strict=True):
                    self.measures[f"{hop}_ms_at_{name}_capacity"].append(float(milliseconds))
                said = ", ".join(f"{hop} {took:.0f}" for hop, took in zip(_HOPS, hops.mean(axis=1), strict=True))
                self._say(f"{share:.0%} of {capacity:,.0f} a second: p50, p95, p99 {found.round()} ms; mean {said}")

    def _at_share(self, side: Side, process: psutil.Process, capacity: float, share: float) -> _Milliseconds:
        """Return how many milliseconds each answer took, hop by hop, shape (hops, answers).

        Raises:
            UnavailableError: The side ended.
        """
        with Listener(self._settings, side.sink, self._said.begin()) as listener:
            self._said.steadily(capacity * share, self._shape.seconds)
            listener.wait(len(self._said.sent_at), _LAST_SECONDS)
        if not process.is_running() or not listener.answers:
            raise UnavailableError(f"{side.name} has ended.")
        return _hops(listener.answers, self._said.sent_at)


def _hops(answers: Sequence[Answer], sent_at: Sequence[float]) -> _Milliseconds:
    """Return what each answer took, in the order of `_HOPS`; the hops of one add up to all that it took."""
    hops = [
        (
            answer.queue_seconds,
            answer.classify_seconds,
            answer.appended_at - sent_at[answer.number] - answer.queue_seconds - answer.classify_seconds,
            answer.seen_at - answer.appended_at,
        )
        for answer in answers
    ]
    return np.array(hops).T * 1000


def _beside() -> dict[str, float]:
    """Return the processor seconds that the broker, and we who say and listen, have used so far."""
    me = psutil.Process()
    brokers = [process.cpu_times() for process in me.children() if process.name() == "java"]
    own = me.cpu_times()
    return {"broker": sum(times.user + times.system for times in brokers), "listener": own.user + own.system}


def _rate(side: Side, answers: Sequence[Answer]) -> float:
    """Return answers a second, by when the broker appended them."""
    times = [answer.appended_at for answer in answers]
    if not times or max(times) == min(times):
        raise UnavailableError(f"{side.name} answered {len(times)} utterances, which is too few to measure.")
    return (len(times) - 1) / (max(times) - min(times))
