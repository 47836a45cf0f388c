"""Texts as a transformer reads them: token ids, cut to what it was trained on and padded to a rectangle."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

MAX_TOKENS = 128
"""What MiniLM was trained on."""


class Padded(NamedTuple):
    """Token ids of several texts, both of shape (texts, tokens) and int64."""

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]
    """1 where there is a token, 0 where there is padding."""


class TextTokenizer:
    """The tokenizer of a `tokenizer.json`."""

    def __init__(self, file: Path) -> None:
        """Read the file."""
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids, `MAX_TOKENS` at most."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]


def padded(tokens: Sequence[Sequence[int]]) -> Padded:
    """Pad to the longest; `tokens` must not be empty."""
    lengths = np.array([len(ids) for ids in tokens])
    there = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(there.shape, np.int64)
    ids[there] = np.concatenate(tokens)
    return Padded(ids, there.astype(np.int64))
