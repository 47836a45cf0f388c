"""What every tier answers with, so that the chain can hold one against another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

Probabilities = npt.NDArray[np.float32]
"""Shape (texts, intents + 1): calibrated, each row sums to 1; the last column is out-of-scope."""


class TierUnavailableError(UnavailableError):
    """A tier has no model, or has not loaded it yet. Not a failure of the tier: the chain asks the next."""


class TierBusyError(UnavailableError):
    """A tier still hangs in a call that was given up at its deadline; it answers nothing until that call returns."""


class TierFailedError(UnavailableError):
    """A tier gave no answer that can be used. The message says why, for results: it never quotes a text."""


class TierTimeoutError(TierFailedError):
    """A tier gave up by itself, before its deadline did."""


class Tier(Protocol):
    """One way to classify. The chain wraps each call with a deadline and a circuit breaker."""

    @property
    def name(self) -> str:
        """What results and metrics call it."""

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        """Return one row a text, in the texts' order, over the catalogue's intents in its order.

        Raises:
            TierUnavailableError: There is no model, or it is not loaded yet.
            TierBusyError: An earlier call hangs.
            TierFailedError: There is no answer that can be used.
        """


class Model(Protocol):
    """What computes a tier's answers in this process."""

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return one row a normalised text; blocks the thread that calls it."""
