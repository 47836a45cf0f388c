"""What models promise, measured: how fast texts are answered beside what a user would reach for, from when on."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infra.bench.bare_onnxruntime import BareEncoder
from infra.bench.evaluate import fit_thresholds, settings_of_content
from infra.bench.model_peers import PEERS, Peers, Task
from infra.bench.model_rounds import BARE, ENCODER, PER_SECOND, Competitors, Rounds
from infra.bench.model_start import measure_start
from infra.bench.report import Report, new_report
from models.classifier import Classifier
from models.encoder import FP32_FILE, Encoder
from models.preparation import Preparation
from models.router import DISTILBERT, route
from models.text import normalise
from schemas.errors import InvalidDataSetError, UnavailableError
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from models.catalogue import Catalogue
    from models.dataset import DataSet
    from schemas.settings import Settings

_HELD_TEXTS = 512
"""Whose embeddings are held against fp32's."""

_NOTES = (
    (
        "Every round asks everyone in turn over the same shuffled test texts, and no cache remembers any. Rules get "
        "512 texts a call, the encoder and the bare loop 2,048; the strategies, through the whole chain, 512."
    ),
    (
        "bare_onnxruntime: the encoder's graph in ONNX Runtime's own dynamic int8, texts sorted by length, 32 a batch, "
        "session settings as they come. Cosines: of embeddings with fp32's, the mean of 512 texts."
    ),
    (
        "transformers_pipeline: the release's network as transformers loads it, in torch fp32; semantic_router: MiniLM "
        "in torch, ten examples an intent, text by text. The peers' accuracies are of the texts that they were asked."
    ),
    "Memory and readiness are a whole worker's, HTTP and Kafka clients included; its broker is away.",
)


def bench_models(
    settings: Settings, data: DataSet, release: Path | None, *, rounds: int, peers: bool, say: Callable[[str], None]
) -> Report:
    """Measure all of them, interleaved.

    Args:
        settings: Of threads; what is trained lies in `evaluate` under the state folder, by content.
        data: Its training texts make the catalogue, its test texts are asked.
        release: A fine-tuned model for it; None: the strategies go without.
        rounds: Of everybody.
        peers: Whether the peers are asked, too.
        say: Told what is being done.

    Raises:
        InvalidDataSetError: There is nothing to ask.
        UnavailableError: Weights or a peer are missing, or the release does not fit.
    """
    if not data.test.texts:
        raise InvalidDataSetError(f"{data.name} has no texts to test; add a test.jsonl.")
    begun, catalogue = time.time(), data.catalogue()
    settings = settings_of_content(settings, catalogue, release)
    with tempfile.TemporaryDirectory(prefix="intentstream-bench-") as scratch:
        run = _Run(settings, data, catalogue, release, scratch=Path(scratch), say=say)
        measures = asyncio.run(run.measure(rounds, peers=peers))
        measures |= run.start()
    ratios = {"encoder_vs_bare_onnxruntime": (f"{ENCODER}_{PER_SECOND}", f"{BARE}_{PER_SECOND}")}
    if peers:
        ratios |= {f"adaptive_vs_{peer}": (f"adaptive_{PER_SECOND}", f"{peer}_{PER_SECOND}") for peer in PEERS}
    return new_report(
        "bench models",
        begun=begun,
        settings={
            "data": data.name,
            "release": release.name if release else "none",
            "threads": settings.models.threads,
            "rounds": rounds,
            "test_texts": len(data.test),
            "intents": len(data.labels),
        },
        measures=measures,
        ratios=ratios,
        notes=[*run.notes, *_NOTES],
    )


class _Run:
    """One run."""

    def __init__(
        self,
        settings: Settings,
        data: DataSet,
        catalogue: Catalogue,
        release: Path | None,
        *,
        scratch: Path,
        say: Callable[[str], None],
    ) -> None:
        self._settings, self._data, self._catalogue, self._release = settings, data, catalogue, release
        self._scratch, self._say = scratch, say
        self._texts = data.test.only(np.random.default_rng(0).permutation(len(data.test)).tolist())
        self._preparation = Preparation(settings, catalogue)
        self.notes: list[str] = []
        if release is None:
            self.notes.append(
                "No fine-tuned model: quality is the zero-shot tier's, and the pipeline ran a network of the same size "
                "that has learnt nothing. `--release FOLDER` names one that `intentstream train` made."
            )

    async def measure(self, rounds: int, *, peers: bool) -> dict[str, list[float]]:
        """Return what everyone did, a number a round."""
        self._say("preparing the models")
        self._preparation.zero_shot()
        self.notes += fit_thresholds(self._settings, self._data, self._catalogue, self._preparation)
        measured = Rounds(self._texts, self._data.labels)
        async with Classifier(self._settings, self._catalogue, share=False) as classifier:
            await classifier.loaded()
            competitors = self._competitors(classifier)
            if not peers:
                await self._rounds(measured, competitors, None, rounds)
            else:
                self._say("starting the peers; the first time, uv brings several gigabytes for them")
                with Peers(self._task(), self._scratch) as others:
                    await self._rounds(measured, competitors, others, rounds)
            cosines = self._cosines(competitors)
        return {**measured.measures, **cosines}

    def start(self) -> dict[str, list[float]]:
        """Return when a worker answers, and how much memory it takes."""
        self._say("starting a worker")
        folder, tuned = self._settings.state_folder, self._release is not None
        found = measure_start(folder, self._catalogue, self._texts.texts, self._scratch, tuned=tuned)
        return {
            "rules_ready_seconds": [found.rules_seconds],
            "all_tiers_ready_seconds": [found.all_seconds],
            "peak_memory_mb": [found.peak_memory_mb],
        }

    async def _rounds(self, measured: Rounds, competitors: Competitors, others: Peers | None, rounds: int) -> None:
        for embed in (competitors.encoder.embed, competitors.bare.embed):
            embed([normalise(text) for text in self._texts.texts[:_HELD_TEXTS]])
        for turn in range(rounds):
            self._say(f"round {turn + 1} of {rounds}")
            await measured.run(competitors, others, PEERS, turn)

    def _competitors(self, classifier: Classifier) -> Competitors:
        tuned = self._release is not None
        if tuned and (missing := classifier.tiers[DISTILBERT].missing):
            raise UnavailableError(f"The release {self._release} cannot serve this data: {missing}.")
        threads = self._settings.models.threads
        return Competitors(
            classifier,
            {
                "adaptive": route(Strategy.ADAPTIVE, distilbert=tuned, zero_shot=True),
                "quality": route(Strategy.QUALITY if tuned else Strategy.STANDARD, distilbert=tuned, zero_shot=True),
            },
            self._preparation.rules(),
            self._preparation.encoder(),
            BareEncoder(self._encoder_folder, self._scratch, threads=threads),
        )

    def _cosines(self, competitors: Competitors) -> dict[str, list[float]]:
        """Return how near int8's embeddings are to fp32's, ours and the bare loop's."""
        texts = [normalise(text) for text in self._texts.texts[:_HELD_TEXTS]]
        exact = Encoder(self._encoder_folder, "fp32", threads=self._settings.models.threads).embed(texts)
        return {
            f"{ENCODER}_cosine": [_mean_cosine(competitors.encoder.embed(texts), exact)],
            f"{BARE}_cosine": [_mean_cosine(competitors.bare.embed(texts), exact)],
        }

    @property
    def _encoder_folder(self) -> Path:
        """Return where the prepared encoder lies, the one that was prepared last."""
        prepared = (self._settings.state_folder / "models").glob(f"encoder-*/{FP32_FILE}")
        return max(prepared, key=lambda file: file.stat().st_mtime).parent

    def _task(self) -> Task:
        inside = self._texts.only([row for row, intent in enumerate(self._texts.intents) if intent is not None])
        return Task(
            texts=list(inside.texts),
            intents=list(inside.intents),
            examples={intent.name: list(intent.examples) for intent in self._catalogue.intents},
            release=str(self._release.resolve()) if self._release else None,
            threads=self._settings.models.threads,
        )


def _mean_cosine(rows: npt.NDArray[np.float32], exact: npt.NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(exact, axis=1)
    return float(((rows * exact).sum(axis=1) / lengths).mean())
