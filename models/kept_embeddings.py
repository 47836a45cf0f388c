"""An encoder that embeds each text once: for who learns from the same texts again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class KeptEmbeddings(Encoder):
    """What another encoder says of texts, remembered; 1.5 KiB each."""

    def __init__(self, encoder: Encoder) -> None:  # opens nothing, and so not its parent's
        """Take whose embeddings to keep."""
        self.precision = encoder.precision
        self._encoder = encoder
        self._kept: dict[str, npt.NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one embedding a text, shape (texts, width)."""
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if new:
            self._kept |= zip(new, self._encoder.embed(new), strict=True)
        return np.stack([self._kept[text] for text in texts])

    def keep_only(self, texts: Sequence[str]) -> None:
        """Forget all others."""
        self._kept = {text: self._kept[text] for text in texts if text in self._kept}
