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
    folds = deal(truth, seed)
    logits, right = [], []
    for fold in range(1 if len(truth) > MANY_TEXTS else _FOLDS):
        out = folds == fold
        if out.any():
            logits.append(logits_of(~out, out))
            right.append(truth[out])
    return fit_temperature(np.concatenate(logits), np.concatenate(right)) if logits else otherwise


def deal(truth: npt.NDArray[np.intp], seed: int = 0) -> npt.NDArray[np.intp]:
    """Deal each class's texts over the folds, shape (texts,); a class's only text is in none, -1, to be learnt from."""
    folds = np.full(len(truth), -1, np.intp)
    generator = np.random.default_rng(seed)
    for position in np.unique(truth):
        members = generator.permutation(np.flatnonzero(truth == position))
        if len(members) > 1:
            folds[members] = (np.arange(len(members)) + generator.integers(_FOLDS)) % _FOLDS
    return folds
