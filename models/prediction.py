"""What every tier answers with, so that the chain can hold one against another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Probabilities = npt.NDArray[np.float32]
"""Shape (texts, intents + 1): calibrated, each row sums to 1; the last column is out-of-scope."""


class Tier(Protocol):
    """One way to classify. The chain wraps each call with a deadline and a circuit breaker."""

    @property
    def name(self) -> str:
        """What results and metrics call it."""

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        """Return one row a text, in the texts' order, over the catalogue's intents in its order.

        Raises:
            TierUnavailableError: There is no model, or it is not loaded yet.
        """
