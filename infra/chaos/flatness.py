"""Whether a series goes up with time, told so that neither a spike nor a slow start decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_MOST_POINTS = 500
"""Of which each is compared with each."""


def growth(times: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much a series went up from its first to its last moment, by the median of the slopes of all pairs.

    A quarter of all values may be anything without it going where it likes (Sen, "Estimates of the Regression
    Coefficient Based on Kendall's Tau", 1968: up to 29 %).

    Args:
        times: In any unit, in order.
        values: One for each.

    Returns:
        In the unit of the values; 0 where there are fewer than two times.
    """
    stride = max(1, len(times) // _MOST_POINTS)
    at, found = np.asarray(times[::stride], float), np.asarray(values[::stride], float)
    first, second = np.triu_indices(len(at), 1)
    span = at[second] - at[first]
    apart = span > 0
    if not apart.any():
        return 0.0
    slope = np.median((found[second] - found[first])[apart] / span[apart])
    return float(slope * (at[-1] - at[0]))


def late_to_early(values: npt.NDArray[np.float64]) -> float:
    """Return how the median of the last third compares with that of the first: 1 where nothing has changed.

    Args:
        values: In the order of time, positive.

    Returns:
        1 where there are fewer than three.
    """
    third = len(values) // 3
    return float(np.median(values[-third:]) / np.median(values[:third])) if third else 1.0
