"""Logits to probabilities that mean something: a model that says 0.9 should be right nine times in ten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.prediction import Probabilities

_LOG_TEMPERATURES = (-6.0, 4.0)


def softmax(logits: npt.NDArray[np.float32], temperature: float = 1.0) -> Probabilities:
    """Return row-wise probabilities of logits of shape (texts, classes); sharper below a temperature of 1."""
    scaled = logits / np.float32(temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def fit_temperature(logits: npt.NDArray[np.float32], truth: npt.NDArray[np.intp]) -> float:
    """Return the temperature with the least log loss on held-out logits (Guo et al. 2017, arXiv 1706.04599).

    Args:
        logits: Shape (texts, classes), of texts the model was not trained on.
        truth: Shape (texts,), the right class of each.
    """
    rows = np.arange(len(truth))

    def log_loss(log_temperature: float) -> float:
        likely = softmax(logits, float(np.exp(log_temperature)))[rows, truth]
        return float(-np.log(np.maximum(likely, 1e-12)).mean())

    return float(np.exp(minimize_scalar(log_loss, bounds=_LOG_TEMPERATURES, method="bounded").x))


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
