"""Logits to probabilities that mean something: a model that says 0.9 should be right nine times in ten."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
