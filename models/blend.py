"""Two classifiers heard together: the transformer's logits and the lexical classifier's, each at its fitted weight.

They err on different texts: one knows what words mean, the other which exact words an intent's owner meets. A sum of
logits is a product of their opinions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models.calibration import Beyond, softmax

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.prediction import Probabilities


class Blend(msgspec.Struct, frozen=True, kw_only=True):
    """The weights, fitted so that the sum's softmax is calibrated; also the content of `blend.json`.

    Attributes:
        network: Of the transformer's logits.
        lexical: Of the lexical classifier's.
        beyond: What says how likely a text is out of scope; None: the softmax says it, too.
    """

    network: float
    lexical: float
    beyond: Beyond | None = None

    def probabilities(self, network: npt.NDArray[np.float32], lexical: npt.NDArray[np.float32]) -> Probabilities:
        """Return what both say together; logits and probabilities are of shape (texts, classes)."""
        logits = self.logits(network, lexical)
        return softmax(logits) if self.beyond is None else self.beyond.probabilities(logits)

    def logits(self, network: npt.NDArray[np.float32], lexical: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the sum that the probabilities are made of."""
        return np.float32(self.network) * network + np.float32(self.lexical) * lexical
