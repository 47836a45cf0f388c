"""How good answers are, as numbers: what each means stands with it, and nothing here knows where answers come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Columns = npt.NDArray[np.intp]


class IntentQuality(NamedTuple):
    """How one intent fares."""

    texts: int
    """That have it."""
    precision: float
    """Of the texts answered with it, the share that have it; 0 where none was."""
    recall: float
    """Of the texts that have it, the share answered with it; 0 where there are none."""
    f1: float
    """The harmonic mean of both."""


class Confusion(NamedTuple):
    """Texts of one column answered with another."""

    truth: int
    answered: int
    texts: int


class Bin(NamedTuple):
    """Answers of like confidence."""

    texts: int
    confidence: float
    """Their mean."""
    accuracy: float
    """The share that is right."""


def area_under_roc(inside: Scores, outside: Scores) -> float:
    """Return the probability that a text of `inside` scores higher than one of `outside`, ties counting half.

    Args:
        inside: Shape (texts,).
        outside: Shape (others,); neither may be empty.
    """
    scores = np.concatenate((inside, outside))
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]
    total = ranks[: len(inside)].sum() - len(inside) * (len(inside) + 1) / 2
    return float(total / (len(inside) * len(outside)))


def intent_qualities(truth: Columns, answered: Columns, classes: int) -> list[IntentQuality]:
    """Return each column's precision, recall and F1.

    Args:
        truth: Shape (texts,), the right column of each.
        answered: Shape (texts,), the column it was answered with.
        classes: How many columns there are.
    """
    right = np.bincount(truth[truth == answered], minlength=classes)
    had, given = np.bincount(truth, minlength=classes), np.bincount(answered, minlength=classes)
    precision, recall = right / np.maximum(given, 1), right / np.maximum(had, 1)
    f1 = 2 * right / np.maximum(had + given, 1)
    return [
        IntentQuality(int(count), float(some), float(other), float(mean))
        for count, some, other, mean in zip(had, precision, recall, f1, strict=True)
    ]


def confusions(truth: Columns, answered: Columns, classes: int) -> list[Confusion]:
    """Return which columns are taken for which, the most frequent first; shapes as in `intent_qualities`."""
    wrong = truth != answered
    pairs, counts = np.unique(truth[wrong] * classes + answered[wrong], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        Confusion(int(pair) // classes, int(pair) % classes, int(count))
        for pair, count in zip(pairs[order], counts[order], strict=True)
    ]


def reliability(confidence: Scores, right: Flags, bins: int = 15) -> list[Bin]:
    """Return bins of equally many answers, least confident first: what was promised, and what was kept.

    Bins of equal width leave nearly all answers of a good classifier in one; these are as telling everywhere
    (Nguyen and O'Connor 2015, arXiv 1508.05154).
    """
    order = np.argsort(confidence, kind="stable")
    return [
        Bin(len(some), float(confidence[some].mean()), float(right[some].mean()))
        for some in np.array_split(order, bins)
        if len(some)
    ]


def adaptive_calibration_error(confidence: Scores, right: Flags, bins: int = 15) -> float:
    """Return the expected calibration error over bins of equally many answers."""
    found = reliability(confidence, right, bins)
    return sum(each.texts * abs(each.confidence - each.accuracy) for each in found) / max(1, len(confidence))


def coverage_at(precision: float, confidence: Scores, right: Flags) -> float:
    """Return the largest share that can be answered, most confident first, with so many of them right.

    An upper bound, found with the truth at hand; what a threshold fitted beforehand reaches is another measure.
    """
    order = np.argsort(-confidence, kind="stable")
    kept = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # Answers of one confidence are given together or not at all.
    ends = np.append(np.diff(confidence[order]) != 0, True)
    reached = np.flatnonzero((kept >= precision) & ends)
    return float((reached[-1] + 1) / len(order)) if len(reached) else 0.0


def percentiles(values: Sequence[float], shares: Sequence[float] = (0.5, 0.95, 0.99)) -> list[float]:
    """Return the values below which these shares of them lie."""
    return [float(value) for value in np.quantile(np.asarray(values), shares)]
