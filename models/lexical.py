"""The lexical classifier: hashed n-grams under tf-idf and one linear layer. Fast, always there, and only arrays.

Words (1 and 2) and characters (2 to 5) are two blocks, each scaled to length 1, so that neither drowns the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy import sparse

from models.calibration import softmax
from models.ngrams import BUCKETS, VERSION, Occurrences, ngrams

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from models.prediction import Probabilities

_SLICE_CHARACTERS = 50_000
"""A slice's n-grams take about 100 bytes a character: this many stay near the processor, whatever a batch holds."""


class Block(NamedTuple):
    """The features of one kind of n-gram."""

    buckets: npt.NDArray[np.int32]
    """Shape (features,): the hash bucket of each, ascending."""
    idf: npt.NDArray[np.float32]
    """Shape (features,): its inverse document frequency."""
    weights: npt.NDArray[np.float32]
    """Shape (features, classes)."""


class Vectoriser:
    """Turns the n-grams of one kind into scaled tf-idf rows over the features that training knew."""

    def __init__(self, buckets: npt.NDArray[np.int32], idf: npt.NDArray[np.float32]) -> None:
        """Lay out the table from bucket to column; -1 where training saw nothing."""
        self._idf = idf
        self._columns = np.full(BUCKETS, -1, np.int32)
        self._columns[buckets] = np.arange(len(buckets), dtype=np.int32)

    def rows(self, occurrences: Occurrences, texts: int) -> sparse.csr_matrix:
        """Return a matrix of shape (texts, features), each row of length 1 or, where nothing is known, 0."""
        columns = self._columns[occurrences.buckets]
        known = columns >= 0
        ones = np.ones(int(known.sum()), np.float32)
        shape = (texts, len(self._idf))
        counts = sparse.coo_matrix((ones, (occurrences.rows[known], columns[known])), shape).tocsr()
        counts.data *= self._idf[counts.indices]
        stored = np.diff(counts.indptr)
        squares = np.bincount(np.repeat(np.arange(texts), stored), counts.data**2, texts)
        counts.data /= np.repeat(np.sqrt(squares), stored).astype(np.float32)
        return counts


class LexicalModel:
    """A trained classifier over the catalogue's intents and, as the last class, out-of-scope."""

    def __init__(self, *, words: Block, characters: Block, bias: npt.NDArray[np.float32], temperature: float) -> None:
        """Take what `models.training.lexical` learnt; `bias` is of shape (classes,)."""
        self._blocks = (words, characters)
        self._vectorisers = tuple(Vectoriser(block.buckets, block.idf) for block in self._blocks)
        self._bias = bias
        self._temperature = temperature

    @property
    def temperature(self) -> float:
        """What the logits are divided by before the softmax."""
        return self._temperature

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities of normalised texts."""
        return softmax(self.logits(texts), self._temperature)

    def logits(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the linear layer's answers, shape (texts, classes)."""
        logits = np.tile(self._bias, (len(texts), 1))
        for some in _slices([len(text) for text in texts]):
            for vectoriser, block, occurrences in zip(
                self._vectorisers, self._blocks, ngrams(texts[some]), strict=True
            ):
                logits[some] += vectoriser.rows(occurrences, some.stop - some.start) @ block.weights
        return logits

    def save(self, file: Path) -> None:
        """Write the model as safetensors."""
        tensors = {"bias": self._bias, "temperature": np.array([self._temperature], np.float32)}
        for name, block in zip(("words", "characters"), self._blocks, strict=True):
            tensors |= {f"{name}.{field}": values for field, values in block._asdict().items()}
        save_file(tensors, file, metadata={"ngrams": str(VERSION)})

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            ValueError: It was trained on other n-grams than this code makes.
        """
        with safe_open(file, framework="numpy") as opened:
            if (opened.metadata() or {}).get("ngrams") != str(VERSION):
                raise ValueError(f"{file} was trained on other n-grams than version {VERSION}; train it again.")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
        words, characters = (
            Block(*(tensors[f"{name}.{field}"] for field in Block._fields)) for name in ("words", "characters")
        )
        return cls(
            words=words, characters=characters, bias=tensors["bias"], temperature=float(tensors["temperature"][0])
        )


def _slices(lengths: list[int]) -> Iterator[slice]:
    """Cut a batch of texts of these lengths into slices of at most `_SLICE_CHARACTERS`, or of one longer text."""
    start = characters = 0
    for position, length in enumerate(lengths):
        if characters + length > _SLICE_CHARACTERS and position > start:
            yield slice(start, position)
            start, characters = position, 0
        characters += length
    if start < len(lengths):
        yield slice(start, len(lengths))
