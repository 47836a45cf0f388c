"""The tier `zero_shot`: sentence embeddings against what the catalogue says of its intents, usable as soon as it does.

Whatever it was made from (names and descriptions alone, or examples), it is one linear layer over the embedding and,
where many examples make them tell something, over n-grams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np
from safetensors.numpy import load_file, save_file

from models.calibration import softmax
from models.lexical import LexicalModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from models.encoder import Encoder
    from models.prediction import Probabilities


_HEAD_FILE, _LEXICAL_FILE = "head.safetensors", "lexical.safetensors"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A linear layer from embeddings to the catalogue's intents and, as the last class, out-of-scope."""

    weights: npt.NDArray[np.float32]
    """Shape (width, classes)."""
    bias: npt.NDArray[np.float32]
    """Shape (classes,)."""
    temperature: float
    """What the logits are divided by before the softmax."""

    def logits(self, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return shape (texts, classes).

        Added up in double precision: in single, the sums of a text depend in their last digits, and its confidence in
        the sixth, on how many others it came with.
        """
        logits = embeddings.astype(np.float64) @ self.weights + self.bias
        return logits.astype(np.float32)

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
    """An encoder and a head; where there were examples enough, n-grams beside the embedding."""

    def __init__(self, encoder: Encoder, head: Head, lexical: LexicalModel | None = None) -> None:
        """Take what was made with this encoder's embeddings.

        Args:
            encoder: Embeds.
            head: Tells the embeddings apart; its temperature is that of the whole.
            lexical: Its logits are added.
        """
        self._encoder = encoder
        self._head = head
        self._lexical = lexical

    @property
    def encoder(self) -> Encoder:
        """What embeds the texts."""
        return self._encoder

    @property
    def head(self) -> Head:
        """What tells the embeddings apart."""
        return self._head

    @property
    def lexical(self) -> LexicalModel | None:
        """What tells the n-grams apart, if anything does."""
        return self._lexical

    def logits(self, texts: Sequence[str], embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return shape (texts, classes) of normalised texts and their embeddings."""
        logits = self._head.logits(embeddings)
        if self._lexical is not None:
            logits += self._lexical.logits(texts)
        return logits

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities of normalised texts."""
        return softmax(self.logits(texts, self._encoder.embed(texts)), self._head.temperature)

    def save(self, folder: Path) -> None:
        """Write all but the encoder."""
        self._head.save(folder / _HEAD_FILE)
        if self._lexical is not None:
            self._lexical.save(folder / _LEXICAL_FILE)

    @classmethod
    def load(cls, encoder: Encoder, folder: Path) -> Self:
        """Read what `save` wrote."""
        lexical = LexicalModel.load(folder / _LEXICAL_FILE) if (folder / _LEXICAL_FILE).is_file() else None
        return cls(encoder, Head.load(folder / _HEAD_FILE), lexical)
