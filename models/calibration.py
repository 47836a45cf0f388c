"""Logits to probabilities that mean something: what says 0.9 should be right nine times in ten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.prediction import Probabilities


def softmax(logits: npt.NDArray[np.float32], temperature: float = 1.0) -> Probabilities:
    """Return row-wise probabilities of logits of shape (texts, classes); sharper below a temperature of 1."""
    scaled = logits / np.float32(temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What turns a tier's own probabilities into those that held-out texts bear out; by default, nothing changes.

    Two logistic curves (Platt 1999): one corrects how sure the tier is of its best intent, the other says from that,
    and from what the tier itself thinks of it, how likely a text is out of scope. Which intent is likeliest, and the
    proportions among the others, stay as they are.

    Attributes:
        slope: Of the logit of the best intent's share among the intents.
        offset: Added to that.
        beyond_offset: Of the logit of being out of scope.
        beyond_by_best: Weight in it of the logit of the best intent's share, as the tier has it.
        beyond_by_own: Weight in it of the logit of the tier's own out-of-scope.
    """

    slope: float = 1.0
    offset: float = 0.0
    beyond_offset: float = 0.0
    beyond_by_best: float = 0.0
    beyond_by_own: float = 1.0

    def apply(self, probabilities: Probabilities) -> Probabilities:
        """Return rows of the same shape, calibrated; the rows given are left as they are."""
        share, own = evidence(probabilities)
        best = sigmoid(self.slope * share + self.offset)
        beyond = sigmoid(self.beyond_offset + self.beyond_by_best * share + self.beyond_by_own * own)
        rows, columns = np.arange(len(probabilities)), probabilities[:, :-1].argmax(axis=1)
        inside = probabilities[:, :-1].copy()
        inside[rows, columns] = 0.0
        rest = inside.sum(axis=1)
        second = inside.max(axis=1, initial=0.0) / np.maximum(rest, _TINY)
        best = np.maximum(best, second / (1 + second) * _AHEAD)  # or the second would overtake it
        # Of a row so sure that nothing is left over, the others have equal parts.
        best = np.where(rest > _TINY, best, 1.0)
        inside *= ((1 - beyond) * (1 - best) / np.maximum(rest, _TINY))[:, None]
        inside[rows, columns] = (1 - beyond) * best
        return np.column_stack((inside, beyond)).astype(np.float32)


class Beyond(msgspec.Struct, frozen=True, kw_only=True):
    """How likely a text is out of scope, by what a softmax throws away: how much the intents are heard at all.

    A text that looks like two intents and one that looks like none have the same softmax; the first has large logits.
    Their log-sum-exp is the free energy of Liu et al. 2020 (arXiv 2010.03759). Beside it counts what the classifier
    itself, which may have been shown texts out of scope, says of them.

    Attributes:
        offset: Of the logit of being out of scope.
        by_level: Weight in it of the log-sum-exp of the intents' logits.
        by_own: Weight in it of the logit of the softmax's out-of-scope.
    """

    offset: float
    by_level: float
    by_own: float

    def probabilities(self, logits: npt.NDArray[np.float32]) -> Probabilities:
        """Return probabilities of logits of shape (texts, classes), the last class being out-of-scope.

        The proportions among the intents are the softmax's.
        """
        level, own = loudness(logits)
        beyond = sigmoid(self.offset + self.by_level * level + self.by_own * own)
        inside = softmax(logits[:, :-1]) * (1 - beyond)[:, None]
        return np.column_stack((inside, beyond)).astype(np.float32)


def loudness(logits: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return, of each row, the log-sum-exp of the intents, and the softmax's logit of out-of-scope, the last column."""
    most = logits[:, :-1].max(axis=1).astype(np.float64)
    level = most + np.log(np.exp(logits[:, :-1] - most[:, None]).sum(axis=1))
    return level, np.clip(logits[:, -1] - level, -_LARGEST_LOGIT, _LARGEST_LOGIT)


_TINY = 1e-12
_AHEAD = 1 + 1e-5
"""What the likeliest keeps in front of the second, so that it is still the likeliest in float32."""

_LARGEST_LOGIT = 14.0
"""Of a probability that float32 can tell from 1."""


def evidence(probabilities: Probabilities) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return, of each row, the logit of the best intent's share among the intents, and that of out-of-scope."""
    own = probabilities[:, -1].astype(np.float64)
    best = probabilities[:, :-1].max(axis=1).astype(np.float64)
    # 1 - best, without losing it to rounding where best is almost 1.
    rest = probabilities[:, :-1].sum(axis=1, dtype=np.float64) - best
    return _log_odds(best, rest), _log_odds(own, best + rest)


def sigmoid(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the logistic function."""
    limited = np.clip(logits, -2 * _LARGEST_LOGIT, 2 * _LARGEST_LOGIT)
    odds: npt.NDArray[np.float64] = 1 / (1 + np.exp(-limited))
    return odds


def _log_odds(for_it: npt.NDArray[np.float64], against: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    odds = np.log(np.maximum(for_it, _TINY)) - np.log(np.maximum(against, _TINY))
    limited: npt.NDArray[np.float64] = np.clip(odds, -_LARGEST_LOGIT, _LARGEST_LOGIT)
    return limited


def calibration_error(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_], bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal width (Naeini et al. 2015).

    Args:
        confidence: Shape (texts,), of the answers given.
        right: Shape (texts,), whether each answer was right.
        bins: How many bins.
    """
    slot = np.minimum((confidence * bins).astype(np.intp), bins - 1)
    gap = np.bincount(slot, confidence, bins) - np.bincount(slot, right, bins)
    return float(np.abs(gap).sum() / len(confidence))
