"""Two classifiers heard together: the transformer's logits and the lexical classifier's, each at its fitted weight.

They err on different texts: one knows what words mean, the other which exact words an intent's owner meets. A sum of
logits is a product of their opinions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models.calibration import softmax

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.prediction import Probabilities


class Blend(msgspec.Struct, frozen=True, kw_only=True):
    """The weights, fitted so that the sum's softmax is calibrated; also the content of `blend.json`."""

    network: float
    lexical: float

    def probabilities(self, network: npt.NDArray[np.float32], lexical: npt.NDArray[np.float32]) -> Probabilities:
        """Return what both say together; logits and probabilities are of shape (texts, classes)."""
        return softmax(np.float32(self.network) * network + np.float32(self.lexical) * lexical)
