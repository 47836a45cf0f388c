"""An encoder that remembers the latest texts, for as long as somebody else is to be asked about them at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from models.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class RecentEmbeddings(Encoder):
    """What another encoder says of texts; nothing is remembered until `keep` is called. Any thread may ask."""

    def __init__(self, encoder: Encoder) -> None:  # opens nothing, and so not its parent's
        """Take whose embeddings to remember."""
        self.precision = encoder.precision
        self._encoder = encoder
        self._most = 0
        self._kept: dict[str, npt.NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def keep(self, most: int) -> None:
        """Remember the embeddings of so many texts, the latest, at 1.5 KiB each; 0: of none, any more."""
        with self._lock:
            self._most = most
            self._forget()

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one embedding a text, shape (texts, width)."""
        if not self._most:
            return self._encoder.embed(texts)
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        if new:
            rows = self._encoder.embed(new)
            found |= zip(new, rows, strict=True)
            with self._lock:
                # Copies: a row would keep all of its batch in memory.
                self._kept |= {text: row.copy() for text, row in zip(new, rows, strict=True)}
                self._forget()
        return np.stack([found[text] for text in texts])

    def _forget(self) -> None:
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
