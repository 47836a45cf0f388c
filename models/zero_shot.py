"""The tier `zero_shot`: sentence embeddings against what the catalogue says of its intents, usable as soon as it does.

Whatever it was made from (names and descriptions alone, or examples), it is one linear layer over the embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np
from safetensors.numpy import load_file, save_file

from models.calibration import softmax

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from models.encoder import Encoder
    from models.prediction import Probabilities


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A linear layer from embeddings to the catalogue's intents and, as the last class, out-of-scope."""

    weights: npt.NDArray[np.float32]
    """Shape (width, classes)."""
    bias: npt.NDArray[np.float32]
    """Shape (classes,)."""
    temperature: float
    """What the logits are divided by before the softmax."""

    def logits(self, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return shape (texts, classes)."""
        logits: npt.NDArray[np.float32] = embeddings @ self.weights + self.bias
        return logits

    def save(self, file: Path) -> None:
        """Write the head as safetensors."""
        temperature = np.array([self.temperature], np.float32)
        save_file({"weights": self.weights, "bias": self.bias, "temperature": temperature}, file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a head that `save` wrote."""
        tensors = load_file(file)
        return cls(weights=tensors["weights"], bias=tensors["bias"], temperature=float(tensors["temperature"][0]))


class ZeroShotModel:
    """An encoder and a head."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        """Take a head that was made with this encoder's embeddings."""
        self._encoder = encoder
        self._head = head

    @property
    def encoder(self) -> Encoder:
        """What embeds the texts."""
        return self._encoder

    @property
    def head(self) -> Head:
        """What tells the embeddings apart."""
        return self._head

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities of normalised texts."""
        return softmax(self._head.logits(self._encoder.embed(texts)), self._head.temperature)
