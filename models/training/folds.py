"""Held-out logits: what models say about texts they were not trained on, which is what calibration needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.training.temperature import fit_temperature

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

MANY_TEXTS = 5_000
"""From here on one held-out fifth calibrates as well as five."""

_FOLDS = 5


def cross_validated_temperature(
    truth: npt.NDArray[np.intp],
    logits_of: Callable[[npt.NDArray[np.bool_], npt.NDArray[np.bool_]], npt.NDArray[np.float32]],
    *,
    otherwise: float,
    seed: int = 0,
) -> float:
    """Return the temperature that fits what models trained on four fifths say about the rest.

    Args:
        truth: Shape (texts,), the class of each.
        logits_of: Trains on the texts of its first mask and returns the logits, shape (texts, classes), of its second.
        otherwise: The answer where no class has two texts, so that none can be held out.
        seed: Of the deal.
    """
    folds = _deal(truth, seed)
    logits, right = [], []
    for fold in range(1 if len(truth) > MANY_TEXTS else _FOLDS):
        out = folds == fold
        if out.any():
            logits.append(logits_of(~out, out))
            right.append(truth[out])
    return fit_temperature(np.concatenate(logits), np.concatenate(right)) if logits else otherwise


def _deal(truth: npt.NDArray[np.intp], seed: int) -> npt.NDArray[np.intp]:
    """Deal each class's texts over the folds; a class's only text is in none, for nothing would be left to learn."""
    folds = np.full(len(truth), -1, np.intp)
    generator = np.random.default_rng(seed)
    for position in np.unique(truth):
        members = generator.permutation(np.flatnonzero(truth == position))
        if len(members) > 1:
            folds[members] = (np.arange(len(members)) + generator.integers(_FOLDS)) % _FOLDS
    return folds
