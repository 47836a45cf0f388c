"""How a chain does on labelled texts that nothing was fitted on: what it answers, how fast, and what it is worth."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from models.measures import (
    Bin,
    IntentQuality,
    adaptive_calibration_error,
    area_under_roc,
    confusions,
    coverage_at,
    intent_qualities,
    percentiles,
    reliability,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from models.answer import Answer
    from models.classifier import Classifier
    from models.dataset import Labelled
    from models.policy import Policy
    from models.prediction import Probabilities
    from models.router import Route

PROMISE = 0.99

_BATCH_TEXTS = 512
_TIMED_ALONE = 200
_MOST_CONFUSIONS = 100


class IntentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table of intents; `intent` None is out of scope."""

    intent: str | None
    texts: int
    precision: float
    recall: float
    f1: float


class ConfusionRow(msgspec.Struct, frozen=True, kw_only=True):
    """Texts of one intent that were answered with another."""

    truth: str | None
    answered: str | None
    texts: int


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A way of answering: what it costs, and how often it is right in scope."""

    name: str
    microseconds: float
    accuracy: float


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `measures` by name; the rest for those who look closer."""

    measures: dict[str, float]
    tiers: dict[str, float]
    """The share of the texts that each tier answered."""
    intents: list[IntentRow]
    confusions: list[ConfusionRow]
    reliability: list[Bin]
    curve: list[Point]
    """The cascade from the rules to the tier behind them, at every threshold; none where there is only one tier."""
    points: list[Point]
    """Each tier alone, and the strategy as it stands."""


class Judged(NamedTuple):
    """Answers beside the truth. The last column is out of scope."""

    truth: npt.NDArray[np.intp]
    answered: npt.NDArray[np.intp]
    best: npt.NDArray[np.intp]
    """The best intent, out-of-scope aside."""
    confidence: npt.NDArray[np.float64]
    """Of the answer."""
    intent_confidence: npt.NDArray[np.float64]
    """Of the best intent."""
    out_of_scope: npt.NDArray[np.float64]
    """How likely that was found, whatever the answer."""
    labels: tuple[str, ...]


def judge(answers: Sequence[Answer], texts: Labelled, labels: Sequence[str]) -> Judged:
    """Put answers beside the truth."""
    columns = {label: column for column, label in enumerate(labels)}
    best = [_best_intent(answer) for answer in answers]
    return Judged(
        truth=texts.columns(labels),
        answered=np.array([columns.get(answer.intent or "", len(labels)) for answer in answers], np.intp),
        best=np.array([columns.get(intent or "", len(labels)) for intent, _ in best], np.intp),
        confidence=np.array([answer.confidence for answer in answers]),
        intent_confidence=np.array([confidence for _, confidence in best]),
        out_of_scope=np.array([answer.out_of_scope for answer in answers]),
        labels=tuple(labels),
    )


def judge_rows(rows: Probabilities, truth: npt.NDArray[np.intp], labels: Sequence[str], beyond_from: float) -> Judged:
    """Put one tier's calibrated rows, shape (texts, labels + 1), beside the truth, as they would be answered alone.

    Args:
        rows: The last column is out of scope.
        truth: Shape (texts,), the right column of each.
        labels: The intents, in the columns' order.
        beyond_from: From what probability on out-of-scope is the answer.
    """
    best, beyond = rows[:, :-1].argmax(axis=1), rows[:, -1] >= beyond_from
    answered = np.where(beyond, len(labels), rows.argmax(axis=1))
    places = np.arange(len(rows))
    return Judged(
        truth=truth,
        answered=answered,
        best=best,
        confidence=rows[places, answered].astype(np.float64),
        intent_confidence=rows[places, best].astype(np.float64),
        out_of_scope=rows[:, -1].astype(np.float64),
        labels=tuple(labels),
    )


def _best_intent(answer: Answer) -> tuple[str | None, float]:
    candidates = [
        (answer.intent, answer.confidence),
        *((other.intent, other.confidence) for other in answer.alternatives),
    ]
    return next((each for each in candidates if each[0] is not None), (None, 0.0))


def quality_measures(judged: Judged) -> dict[str, float]:
    """Return what answers are worth; the measures of out-of-scope texts are left out where there are none."""
    inside = judged.truth < len(judged.labels)
    right = judged.best == judged.truth
    rows = intent_qualities(judged.truth, judged.answered, len(judged.labels) + 1)
    measures = {
        "in_scope_accuracy": float(right[inside].mean()),
        "in_scope_accuracy_decided": float((judged.answered == judged.truth)[inside].mean()),
        "macro_f1": float(np.mean([row.f1 for row in rows[:-1] if row.texts])),
        "calibration_error": adaptive_calibration_error(judged.intent_confidence[inside], right[inside]),
    }
    if not inside.all():
        measures["oos_auroc"] = area_under_roc(judged.out_of_scope[~inside], judged.out_of_scope[inside])
        measures["oos_recall"] = float((judged.answered == len(judged.labels))[~inside].mean())
    return measures


def promise_measures(
    judged: Judged, policy: Policy, strategy: str, candidates: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Return what is left to people where 99 % of what is not is to be right; of texts in scope, but for the last.

    Args:
        judged: The answers.
        policy: Fitted for that promise.
        strategy: Whose threshold counts.
        candidates: Shape (texts,), whether the right answer is among the three shown.
    """
    right, inside = judged.answered == judged.truth, judged.truth < len(judged.labels)
    measures = {"coverage_at_99_at_best": coverage_at(PROMISE, judged.confidence[inside], right[inside])}
    if policy.promise != PROMISE or strategy not in policy.automatic:
        return measures
    alone = judged.confidence >= policy.automatic[strategy]
    measures["coverage_at_99"] = float(alone[inside].mean())
    if (alone & inside).any():
        measures["accuracy_at_99"] = float(right[alone & inside].mean())
    if (inside & ~alone).any():
        measures["review_choices_recall"] = float(candidates[inside & ~alone].mean())
    if not inside.all():
        measures["oos_not_reviewed_at_99"] = float((alone & ~right)[~inside].mean())
    return measures


def choices_hold(answers: Sequence[Answer], texts: Labelled, shown: int = 3) -> npt.NDArray[np.bool_]:
    """Return, of each answer, whether the truth is among the first candidates."""
    return np.array(
        [
            truth in [answer.intent, *(other.intent for other in answer.alternatives)][:shown]
            for answer, truth in zip(answers, texts.intents, strict=True)
        ]
    )


async def answer_all(classifier: Classifier, texts: Labelled, route: Route, seed: int) -> tuple[list[Answer], float]:
    """Return one answer a text, in the texts' order, and the seconds it took; asked in an order of chance."""
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    answers: dict[int, Answer] = {}
    begun = time.perf_counter()
    for start in range(0, len(order), _BATCH_TEXTS):
        rows = order[start : start + _BATCH_TEXTS]
        given = await classifier.classify([texts.texts[row] for row in rows], route, caching=False)
        answers.update(zip(rows, given, strict=True))
    seconds = time.perf_counter() - begun
    return [answers[row] for row in range(len(texts))], seconds


async def latencies(classifier: Classifier, texts: Labelled, route: Route, seed: int) -> dict[str, float]:
    """Return percentiles of the milliseconds that single texts take, one after another."""
    rows = np.random.default_rng(seed).permutation(len(texts))[:_TIMED_ALONE].tolist()
    milliseconds = []
    for row in rows:
        begun = time.perf_counter()
        await classifier.classify([texts.texts[row]], route, caching=False)
        milliseconds.append((time.perf_counter() - begun) * 1000)
    names = ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")
    return dict(zip(names, percentiles(milliseconds), strict=True))


def intent_rows(judged: Judged) -> list[IntentRow]:
    """Return the table of intents, the worst first."""
    names = (*judged.labels, None)
    found = zip(names, intent_qualities(judged.truth, judged.answered, len(names)), strict=True)
    rows = [_intent_row(name, quality) for name, quality in found if quality.texts]
    return sorted(rows, key=lambda row: row.f1)


def _intent_row(name: str | None, quality: IntentQuality) -> IntentRow:
    return IntentRow(
        intent=name, texts=quality.texts, precision=quality.precision, recall=quality.recall, f1=quality.f1
    )


def confusion_rows(judged: Judged) -> list[ConfusionRow]:
    """Return which intents are taken for which, the most frequent first."""
    names = (*judged.labels, None)
    found = confusions(judged.truth, judged.answered, len(names))[:_MOST_CONFUSIONS]
    return [ConfusionRow(truth=names[each.truth], answered=names[each.answered], texts=each.texts) for each in found]


def reliability_rows(judged: Judged) -> list[Bin]:
    """Return what confidence promised and what was kept, for texts in scope."""
    inside = judged.truth < len(judged.labels)
    return reliability(judged.intent_confidence[inside], (judged.best == judged.truth)[inside])


def cascade_curve(
    rules: Probabilities,
    behind: Probabilities,
    truth: npt.NDArray[np.intp],
    costs: Mapping[str, float],
    points: int = 60,
) -> list[Point]:
    """Return what asking the tier behind the rules for ever more texts costs and brings; texts in scope only.

    Args:
        rules: Their rows.
        behind: The other tier's.
        truth: Shape (texts,), the column of each.
        costs: Microseconds a text of `rules` and `behind`.
        points: How many.
    """
    inside = truth < rules.shape[1] - 1
    confidence = rules[inside, :-1].max(axis=1)
    order = np.argsort(confidence, kind="stable")
    first, second = ((rows[inside, :-1].argmax(axis=1) == truth[inside])[order] for rows in (rules, behind))
    gained = np.concatenate(([0], np.cumsum(second.astype(np.intp) - first)))
    texts = len(order)
    return [
        Point(
            name=f"{count / texts:.0%} asked again",
            microseconds=costs["rules"] + costs["behind"] * count / texts,
            accuracy=float((first.sum() + gained[count]) / texts),
        )
        for count in np.unique(np.linspace(0, texts, points, dtype=np.intp)).tolist()
    ]
