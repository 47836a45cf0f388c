"""How what an answer costs grows: with the batch, the length of its text, the number of intents, and that of flags.

Processor time of this process, on which others on the machine have little influence. Models have as many intents as are
asked for and weights of chance: what they cost does not depend on what they have learnt.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from flags.evaluation import Snapshot
from infra.bench.report import Report, new_report
from infra.bench.svg import Axis, Plot, alone
from models.answer import Answer
from models.catalogue import default_catalogue_path, load_catalogue
from models.chain import Chain
from models.lexical import Block, LexicalModel
from models.local import LocalTier
from models.ngrams import ngrams
from models.preparation import Preparation
from models.router import RULES, ZERO_SHOT
from models.serving import Serving
from models.text import normalise
from models.zero_shot import Head, ZeroShotModel
from schemas.cloudevents import Received
from schemas.events import FlagChange, Guardrail, Rollout, Utterance
from streams.decide import FlaggedClassifier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from models.encoder import Encoder
    from models.router import Route
    from schemas.settings import Settings

BATCHES = (1, 8, 64, 512, 4_096)
CHARACTERS = (25, 100, 400, 1_600, 4_000)
INTENTS = (10, 30, 100, 300, 1_000)
FLAGS = (9, 100, 1_000)

_USUAL_BATCH, _USUAL_INTENTS = 512, 30
_CLASSIFIED = {RULES: 2_048, ZERO_SHOT: 256}
"""Texts, at least, of one measurement: enough for a clock of milliseconds, few enough for a minute in all."""
_DECIDED = 2_000
_USERS = 997
_CHANGED_AT = "2026-11-30T00:00:00Z"

_NOTES = (
    "Processor milliseconds of 1,000 texts in one process, all of its threads together; without Kafka, a cache, flags.",
    "flags: deciding by them alone. resting: for everyone the same; climbing: all but ours compare their users.",
)


class Growth(NamedTuple):
    """What was found: milliseconds a round, by dimension, who, and size."""

    report: Report
    curves: dict[str, dict[str, dict[int, float]]]


def bench_growth(settings: Settings, texts: Sequence[str], *, rounds: int, say: Callable[[str], None]) -> Growth:
    """Measure it, round after round.

    Args:
        settings: Of models; the encoder is made where it is not there.
        texts: What is classified.
        rounds: Of everything.
        say: Told what is being done.

    Raises:
        UnavailableError: There is no encoder.
    """
    begun = time.time()
    say("opening the encoder")
    encoder = Preparation(settings, load_catalogue(default_catalogue_path())).encoder()
    found: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        asyncio.run(_round(settings, [normalise(text) for text in texts], encoder, found))
    curves: defaultdict[str, defaultdict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for (dimension, name, size), milliseconds in found.items():
        curves[dimension][name][size] = float(np.median(milliseconds))
    report = new_report(
        "bench growth",
        begun=begun,
        settings={"texts": len(texts), "rounds": rounds, "threads": settings.models.threads},
        measures={f"{name}_ms_per_1000_at_{size}_{dimension}": each for (dimension, name, size), each in found.items()},
        ratios={},
        notes=_NOTES,
    )
    return Growth(report, {dimension: dict(lines) for dimension, lines in curves.items()})


def write_growth(folder: Path, growth: Growth) -> None:
    """Write `growth-DIMENSION.svg` of each dimension, both axes logarithmic."""
    folder.mkdir(parents=True, exist_ok=True)
    for dimension, lines in growth.curves.items():
        points = [point for line in lines.values() for point in line.items()]
        across = Axis(dimension, *_ends(size for size, _ in points), logarithmic=True, form="{:,g}".format)
        up = Axis("processor ms for 1,000", *_ends(cost for _, cost in points), logarithmic=True)
        plot = Plot(across, up, f"Cost by {dimension}")
        for name, line in lines.items():
            plot.line(list(line.items()), "curve")
            plot.dots([(*point, f"{point[1]:.3g}") for point in line.items()], "mark", named=False)
            plot.dots([(*list(line.items())[-1], name)], "mark")
        (folder / f"growth-{dimension}.svg").write_text(alone(plot, f"Cost by {dimension}"), "utf-8")


def _ends(values: Any) -> tuple[float, float]:
    found = sorted(values)
    return found[0] * 0.8, found[-1] * 1.25


async def _round(
    settings: Settings,
    texts: Sequence[str],
    encoder: Encoder,
    found: defaultdict[tuple[str, str, int], list[float]],
) -> None:
    chain = _chain(settings, texts, encoder, _USUAL_INTENTS)
    for tier in (RULES, ZERO_SHOT):
        for size in BATCHES:
            found["batch", tier, size].append(await _classified(chain, tier, texts, size))
        for characters in CHARACTERS:
            longer = [_as_long(text, characters) for text in islice(cycle(texts), _CLASSIFIED[tier])]
            found["characters", tier, characters].append(await _classified(chain, tier, longer, _USUAL_BATCH))
    for intents in INTENTS:
        chain = _chain(settings, texts, encoder, intents)
        for tier in (RULES, ZERO_SHOT):
            found["intents", tier, intents].append(await _classified(chain, tier, texts, _USUAL_BATCH))
    for flags in FLAGS:
        for name, climbing in (("resting", False), ("climbing", True)):
            found["flags", name, flags].append(await _decided(_flags(flags, climbing=climbing), texts))


def _chain(settings: Settings, texts: Sequence[str], encoder: Encoder, intents: int) -> Chain:
    """Return the local tiers for so many intents, with weights of chance."""
    chance = np.random.default_rng(intents)

    def weights(rows: int) -> Any:
        return chance.normal(0, 1 / np.sqrt(rows), (rows, intents + 1)).astype(np.float32)

    words, characters = (np.unique(kind.buckets).astype(np.int32) for kind in ngrams(texts))
    bias = np.zeros(intents + 1, np.float32)
    lexical = LexicalModel(
        words=Block(words, np.ones(len(words), np.float32), weights(len(words))),
        characters=Block(characters, np.ones(len(characters), np.float32), weights(len(characters))),
        bias=bias,
        temperature=1.0,
    )
    head = Head(weights=weights(encoder.embed(texts[:1]).shape[1]), bias=bias, temperature=1.0)
    hung_after = settings.chain.tier_deadline_seconds
    tiers = [
        LocalTier(RULES, lexical, hung_after_seconds=hung_after),
        LocalTier(ZERO_SHOT, ZeroShotModel(encoder, head), hung_after_seconds=hung_after),
    ]
    patient = settings.chain.model_copy(update={"tier_deadline_seconds": 60.0})
    return Chain(tiers, [f"intent_{number}" for number in range(intents)], patient)


async def _classified(chain: Chain, tier: str, texts: Sequence[str], batch: int) -> float:
    """Return the milliseconds of 1,000 texts, in batches of such a size."""
    count = max(_CLASSIFIED[tier], batch) if batch > 1 else _CLASSIFIED[tier] // 4
    said = list(islice(cycle(texts), count))

    async def classify() -> None:
        for start in range(0, count, batch):
            await chain.classify(said[start : start + batch], [tier], escalate=False)

    await chain.classify(said[:batch], [tier], escalate=False)  # warm
    return 1e6 * await _processor_seconds(classify) / count


async def _decided(flags: Snapshot, texts: Sequence[str]) -> float:
    decider = FlaggedClassifier(Serving(cast("Any", _Idle())), lambda: flags)
    said = [
        Received(Utterance(text=text, id=str(number), user_id=f"user-{number % _USERS}"))
        for number, text in enumerate(islice(cycle(texts), _DECIDED))
    ]

    async def decide() -> None:
        for start in range(0, _DECIDED, _USUAL_BATCH):
            await decider.decide(said[start : start + _USUAL_BATCH])

    return 1e6 * await _processor_seconds(decide) / _DECIDED


async def _processor_seconds(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.process_time()
    await work()
    return time.process_time() - begun


def _as_long(text: str, characters: int) -> str:
    """Return a text of so many characters: what is said, again and again."""
    return f"{text} " * (characters // (len(text) + 1)) + text[: characters % (len(text) + 1)] or text[:characters]


def _flags(count: int, *, climbing: bool) -> Snapshot:
    """Return so many flags, ours among them."""
    rollout = Rollout(steps=(10.0, 100.0), guardrails=(Guardrail(metric="error_rate"),), entered_at=_CHANGED_AT)
    more = {
        name: FlagChange(
            name=name,
            enabled=True,
            rollout_percentage=10.0,
            rollout=rollout if climbing else None,
            revision=1,
            changed_by="bench",
            changed_at=_CHANGED_AT,
        )
        for name in (f"flag_{number}" for number in range(count - len(Snapshot().names)))
    }
    return Snapshot(revision=1, changes=more)


class _Idle:
    """A classifier that does nothing."""

    release = "none"

    async def classify(self, texts: Sequence[str], _: Route, *, caching: bool) -> list[Answer]:  # noqa: ARG002 - its name
        """Say the same of each."""
        return [_ANSWER] * len(texts)

    def review_below(self, _: Route) -> float | None:
        """Promise nothing."""
        return None


_ANSWER = Answer(intent="none", confidence=1.0, tier=RULES)
