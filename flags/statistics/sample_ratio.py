"""Whether users arrive in the arms as the design says: the sample-ratio check.

A split that is not as designed means that chance no longer decides who is compared with whom (results are lost, an arm
crashes, buckets are wrong), and then no verdict means anything. The test is Lindon and Malek's (2022): a Dirichlet-
multinomial mixture against the designed shares, over different users, valid at any look.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from flags.statistics.coin import Numbers

ALPHA = 0.001
"""How probable a false alarm may be, over all looks together."""

_PRIOR_USERS = 1_000.0
"""How certain the prior is that the shares are about as designed: deviations of a few percent are to be found."""


def log_e(users: npt.ArrayLike, shares: Sequence[float]) -> Numbers:
    """Return the logarithm of the e-value against "users arrive with these shares".

    Args:
        users: Different users seen, shape (arms, ...).
        shares: As designed, in any unit, above 0, shape (arms,).

    Returns:
        Shape (...).
    """
    counts = np.asarray(users, np.float64)
    designed = (np.asarray(shares, np.float64) / np.sum(shares)).reshape(-1, *[1] * (counts.ndim - 1))
    prior = _PRIOR_USERS * designed
    grown = (gammaln(prior + counts) - gammaln(prior)).sum(axis=0)
    mixture = gammaln(_PRIOR_USERS) - gammaln(_PRIOR_USERS + counts.sum(axis=0)) + grown
    return np.asarray(mixture - (counts * np.log(designed)).sum(axis=0))


def p_value(users: Sequence[int], shares: Sequence[float]) -> float:
    """Return the p-value of the same, valid whenever one looks; at or below `ALPHA`, nothing is to be concluded."""
    return math.exp(min(0.0, -float(log_e(users, shares))))
