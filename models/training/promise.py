"""Thresholds that come with a guarantee, whatever the model and however the texts are distributed.

Both hold for texts drawn like the held-out ones, which no tier may have been trained on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.prediction import Probabilities

RISK = 0.1
"""How often, over the draw of the held-out texts, `least_confidence` may be too low."""

NEVER = 1.01
"""A confidence that no answer has."""

_STEPS = 200


def least_confidence(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_], promise: float) -> float:
    """Return how sure an answer must be so that of those as sure or surer at least a share `promise` is right.

    Thresholds are tried from the surest down, each by an exact binomial test, until the first that fails; so the
    chance that the one returned breaks the promise is at most `RISK` (fixed-sequence testing: Angelopoulos et al.
    2021, arXiv 2110.01052).

    Args:
        confidence: Shape (texts,), of answers to held-out texts.
        right: Shape (texts,), whether each was right.
        promise: From 0 to 1, both left out.

    Returns:
        A confidence; `NEVER` where there are too few texts or too many errors to promise anything.
    """
    order = np.argsort(-confidence, kind="stable")
    errors, sorted_confidence = np.cumsum(~right[order]), confidence[order]
    fewest = math.ceil(math.log(RISK) / math.log(promise))
    kept = NEVER
    for count in np.unique(np.linspace(fewest, len(order), _STEPS, dtype=np.intp)) if fewest <= len(order) else ():
        threshold = float(sorted_confidence[count - 1])
        reached = int(np.searchsorted(-sorted_confidence, -threshold, side="right"))  # those as sure go with it
        if binom.cdf(errors[reached - 1], reached, 1 - promise) > RISK:
            break
        kept = threshold
    return kept


def least_choice(probabilities: Probabilities, truth: npt.NDArray[np.intp], promise: float) -> float:
    """Return how likely a candidate must be to be among the choices, so that they hold the right one often enough.

    Split conformal prediction: the right column is among those at least this likely with a probability of at least
    `promise` (Vovk et al. 2005; Sadinle et al. 2019, arXiv 1609.00451).

    Args:
        probabilities: Rows of held-out texts.
        truth: Shape (texts,), the right column of each.
        promise: From 0 to 1, both left out.

    Returns:
        A probability; 0 where there are too few texts, so that every candidate is a choice.
    """
    likely = np.sort(probabilities[np.arange(len(truth)), truth])
    lost = math.floor((len(likely) + 1) * (1 - promise))
    return float(likely[lost - 1]) if lost >= 1 else 0.0
