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
_STARTS = 4
"""Sequences of thresholds, each with its part of the risk: one that began among the fewest answers would end at the
first slip among the surest, however good the rest."""


def least_confidence(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_], promise: float) -> float:
    """Return how sure an answer must be so that of those as sure or surer at least a share `promise` is right.

    Thresholds are tried from the surest down, each by an exact binomial test, until the first that fails; so the
    chance that the one returned breaks the promise is at most `RISK` (fixed-sequence testing with several starts:
    Angelopoulos et al. 2021, arXiv 2110.01052).

    Args:
        confidence: Shape (texts,), of answers to held-out texts.
        right: Shape (texts,), whether each was right.
        promise: From 0 to 1, both left out.

    Returns:
        A confidence; `NEVER` where there are too few texts or too many errors to promise anything.
    """
    order = np.argsort(-confidence, kind="stable")
    errors, descending = np.cumsum(~right[order]), confidence[order]
    risk = RISK / _STARTS
    fewest = math.ceil(math.log(risk) / math.log(promise))
    if fewest > len(order):
        return NEVER
    # Those as sure as the last of them go with it, so that the thresholds are told by the confidences alone.
    counts = np.linspace(fewest, len(order), _STEPS, dtype=np.intp)
    counts = np.unique(np.searchsorted(-descending, -descending[counts - 1], side="right"))
    kept = binom.cdf(errors[counts - 1], counts, 1 - promise) <= risk
    furthest = max(_run(kept, start) for start in np.linspace(0, len(counts), _STARTS, endpoint=False, dtype=np.intp))
    return float(descending[counts[furthest] - 1]) if furthest >= 0 else NEVER


def _run(kept: npt.NDArray[np.bool_], start: int) -> int:
    """Return the last of the tests that passed one after another from a start on; -1 where the first failed."""
    failed = np.flatnonzero(~kept[start:])
    end = start + int(failed[0]) if len(failed) else len(kept)
    return end - 1 if end > start else -1


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
