"""Trains what a folder of labelled texts needs, once, and holds a chain against its test texts."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from infra.bench.report import Report, new_report
from models.classifier import Classifier
from models.evaluation import (
    Evaluation,
    Point,
    answer_all,
    cascade_curve,
    choices_hold,
    confusion_rows,
    intent_rows,
    judge,
    latencies,
    promise_measures,
    quality_measures,
    reliability_rows,
)
from models.fitting import Fitting
from models.local import LocalTier
from models.preparation import DISTILBERT_FOLDER, Preparation
from models.router import DISTILBERT, RULES, ZERO_SHOT, route
from models.text import normalise
from models.training.corpus import InvalidCorpusError, read_corpus
from models.training.self_training import refine
from models.zero_shot import ZeroShotModel
from schemas.errors import InvalidDataSetError
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from models.catalogue import Catalogue
    from models.dataset import DataSet
    from models.prediction import Model, Probabilities
    from models.router import Route
    from schemas.settings import Settings

_DIGITS = 12
_DEADLINE_SECONDS = 60.0


class Asked(NamedTuple):
    """What is to be evaluated."""

    strategy: Strategy
    release: Path | None
    """A fine-tuned model for this data; None: the chain goes without."""
    refined: bool
    """Whether the zero-shot tier may learn from the unlabelled texts."""
    seed: int


class Evaluated(NamedTuple):
    """A report for a program, and all that was found for a page."""

    report: Report
    evaluation: Evaluation


def evaluate(settings: Settings, data: DataSet, asked: Asked, say: Callable[[str], None]) -> Evaluated:
    """Train what is missing, answer the test texts, and measure.

    Args:
        settings: Of the chain; what is trained lies in `evaluate` under the state folder, by content.
        data: What to learn and what to be judged by.
        asked: Which way to answer.
        say: Is told what is being done.

    Raises:
        InvalidDataSetError: There is nothing to test.
        UnavailableError: The encoder's weights are not installed, or the fine-tuned release does not fit.
    """
    if not data.test.texts:
        raise InvalidDataSetError(f"{data.name} has no texts to test; add a test.jsonl.")
    begun = time.time()
    catalogue = data.catalogue()
    settings = settings_of_content(settings, catalogue, asked.release)
    run = _Run(settings, data, catalogue, asked, say)
    evaluation = asyncio.run(run.evaluate())
    report = new_report(
        "evaluate",
        begun=begun,
        settings={
            "data": data.name,
            "strategy": asked.strategy.value,
            "intents": len(data.labels),
            "train_texts": len(data.train),
            "test_texts": len(data.test),
            "seed": asked.seed,
        },
        measures={name: [value] for name, value in evaluation.measures.items()},
        ratios={},
        notes=[*data.notes, *run.notes],
    )
    exact = {name: round(value, 5) for name, value in evaluation.measures.items()}
    return Evaluated(msgspec.structs.replace(report, measures=exact), evaluation)


def settings_of_content(settings: Settings, catalogue: Catalogue, release: Path | None) -> Settings:
    """Return settings whose state folder belongs to this content: the encoder is shared, all else its own."""
    shared = settings.state_folder
    tuned = str(release.resolve()) if release else ""
    digest = hashlib.sha256(f"{catalogue.digest} {tuned}".encode()).hexdigest()[:_DIGITS]
    own = shared / "evaluate" / digest
    models = own / "models"
    models.mkdir(parents=True, exist_ok=True)
    preparation = Preparation(settings, catalogue)
    preparation.encoder()
    for folder in (shared / "models").glob("encoder-*"):
        _link(models / folder.name, folder)
    if release is not None:
        _link(models / DISTILBERT_FOLDER, release)
    # What is measured is what the tiers know, and a busy machine must not decide it.
    chain = settings.chain.model_copy(update={"tier_deadline_seconds": _DEADLINE_SECONDS})
    return settings.model_copy(update={"state_folder": own, "chain": chain})


def _link(name: Path, folder: Path) -> None:
    if not name.exists():
        name.symlink_to(folder.resolve(), target_is_directory=True)


def fit_thresholds(settings: Settings, data: DataSet, catalogue: Catalogue, preparation: Preparation) -> list[str]:
    """Fit the policy to a data set, where it has what to fit it on; a classifier finds it. Return what to note."""
    try:
        corpus = read_corpus(catalogue, data.folder)
    except InvalidCorpusError as error:
        return [f"Thresholds are the defaults, for nothing could be held out: {error}."]
    Fitting(settings, catalogue, preparation).policy_by(corpus)
    return []


class _Run:
    """One evaluation."""

    def __init__(
        self, settings: Settings, data: DataSet, catalogue: Catalogue, asked: Asked, say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._data = data
        self._catalogue = catalogue
        self._asked = asked
        self._say = say
        self._preparation = Preparation(settings, catalogue)
        self.notes: list[str] = []

    async def evaluate(self) -> Evaluation:
        models = self._models()
        self._fit()
        async with Classifier(self._settings, self._catalogue, share=False) as classifier:
            await classifier.loaded()
            tier = classifier.tiers[ZERO_SHOT]
            if isinstance(tier, LocalTier):  # the refined model, where there is one
                tier.serve(models[ZERO_SHOT])
            return await self._measure(classifier, models)

    def _models(self) -> dict[str, Model]:
        """Return every tier's model, trained where it was not."""
        self._say("training the lexical classifier")
        models: dict[str, Model] = {RULES: self._preparation.rules()}
        self._say("fitting the zero-shot tier")
        models[ZERO_SHOT] = zero_shot = self._preparation.zero_shot_tier()
        if self._asked.refined and self._data.unlabelled and isinstance(zero_shot, ZeroShotModel):
            self._say("refining the zero-shot head on unlabelled texts")
            models[ZERO_SHOT] = refine(self._catalogue, zero_shot, self._data.unlabelled)
            self.notes.append(
                f"The zero-shot tier was refined on {len(self._data.unlabelled):,} training texts without their labels."
            )
        if self._asked.release is not None:
            models[DISTILBERT] = self._preparation.distilbert()
        else:
            self.notes.append("No fine-tuned model: `--release FOLDER` names one that `intentstream train` made.")
        return models

    def _fit(self) -> None:
        """Fit the policy where there is something to fit it on; the classifier finds it."""
        self._say("fitting thresholds")
        self.notes += fit_thresholds(self._settings, self._data, self._catalogue, self._preparation)

    async def _measure(self, classifier: Classifier, models: Mapping[str, Model]) -> Evaluation:
        asked, data = self._asked, self._data
        way = route(asked.strategy, distilbert=DISTILBERT in models, zero_shot=True)
        if asked.strategy is Strategy.QUALITY and DISTILBERT not in models:
            way = way._replace(order=tuple(name for name in way.order if name != DISTILBERT))
        self._say(f"answering {len(data.test):,} texts")
        await answer_all(classifier, data.test.only(range(min(64, len(data.test)))), way, asked.seed)
        answers, seconds = await answer_all(classifier, data.test, way, asked.seed)
        judged = judge(answers, data.test, data.labels)
        promised = promise_measures(judged, classifier.policy, asked.strategy.value, choices_hold(answers, data.test))
        speed = {"utterances_per_second": len(data.test) / seconds}
        speed |= await latencies(classifier, data.test, way, asked.seed)
        self._say("answering with each tier alone")
        alone = _alone(models, [normalise(text) for text in data.test.texts])
        points = _points(alone, judged.truth, len(data.labels))
        points.append(
            Point(
                name=asked.strategy.value,
                microseconds=seconds / len(data.test) * 1e6,
                accuracy=quality_measures(judged)["in_scope_accuracy"],
            )
        )
        tiers = {name: sum(answer.tier == name for answer in answers) / len(answers) for name in way.order}
        shares = {f"{name}_share": share for name, share in tiers.items()}
        by_tier = {f"{point.name}_in_scope_accuracy": point.accuracy for point in points[:-1]}
        if not promised.get("coverage_at_99"):
            self.notes.append("coverage_at_99 is 0: too few held-out texts, or too many errors, to promise 99 %.")
            promised.setdefault("coverage_at_99", 0.0)
        return Evaluation(
            measures=quality_measures(judged) | promised | speed | shares | by_tier,
            tiers=tiers,
            intents=intent_rows(judged),
            confusions=confusion_rows(judged),
            reliability=reliability_rows(judged),
            curve=_curve(alone, way, judged.truth),
            points=points,
        )


class _Alone(NamedTuple):
    """One tier's rows, and what they cost."""

    rows: Probabilities
    microseconds: float


def _alone(models: Mapping[str, Model], texts: Sequence[str]) -> dict[str, _Alone]:
    found = {}
    for name, model in models.items():
        model.predict(texts[:32])
        begun = time.perf_counter()
        rows = model.predict(texts)
        found[name] = _Alone(rows, (time.perf_counter() - begun) / len(texts) * 1e6)
    return found


def _points(alone: Mapping[str, _Alone], truth: npt.NDArray[np.intp], labels: int) -> list[Point]:
    inside = truth < labels
    return [
        Point(
            name=name,
            microseconds=each.microseconds,
            accuracy=float((each.rows[inside, :-1].argmax(axis=1) == truth[inside]).mean()),
        )
        for name, each in alone.items()
    ]


def _curve(alone: Mapping[str, _Alone], way: Route, truth: npt.NDArray[np.intp]) -> list[Point]:
    behind = next((name for name in (DISTILBERT, ZERO_SHOT) if name in alone and name in way.order), None)
    if behind is None:
        return []
    costs = {"rules": alone[RULES].microseconds, "behind": alone[behind].microseconds}
    return cascade_curve(alone[RULES].rows, alone[behind].rows, truth, costs)
