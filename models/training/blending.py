"""Fits how a network and the lexical classifier are heard together, on texts that neither was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from scipy.optimize import minimize

from models.blend import Blend
from models.calibration import softmax
from models.training.calibration import fit_beyond

if TYPE_CHECKING:
    import numpy.typing as npt

_MOST = 100.0


def fit_blend(network: npt.NDArray[np.float32], lexical: npt.NDArray[np.float32], truth: npt.NDArray[np.intp]) -> Blend:
    """Return the weights with the least log loss; it has one minimum (Hinton 2002, products of experts).

    What tells out-of-scope is fitted to the sum, where there are texts to learn it from.

    Args:
        network: Logits of shape (texts, classes).
        lexical: Likewise.
        truth: Shape (texts,), the right class of each; the last is out of scope.
    """
    rows = np.arange(len(truth))

    def log_loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        likely = softmax(np.float32(weights[0]) * network + np.float32(weights[1]) * lexical)
        loss = -np.log(np.maximum(likely[rows, truth], 1e-12)).mean()
        slopes = [((likely * logits).sum(axis=1) - logits[rows, truth]).mean() for logits in (network, lexical)]
        return float(loss), np.array(slopes, np.float64)

    found = minimize(log_loss, np.array([1.0, 0.0]), jac=True, bounds=[(0.0, _MOST)] * 2, method="L-BFGS-B").x
    blend = Blend(network=float(found[0]), lexical=float(found[1]))
    return msgspec.structs.replace(blend, beyond=fit_beyond(blend.logits(network, lexical), truth))
