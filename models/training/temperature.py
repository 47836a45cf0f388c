"""Fits the one number that turns a trained model's logits into calibrated probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from models.calibration import softmax

if TYPE_CHECKING:
    import numpy.typing as npt

_LOG_TEMPERATURES = (-6.0, 4.0)


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
