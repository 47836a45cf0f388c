"""Tells cheaply which texts may be near to some others, so that the encoder is not asked about all that is said.

Texts are compared by n-grams, weighted by how rare they are in the catalogue's examples: some microseconds a text,
where an embedding takes most of a millisecond. What shares nothing with a text is not near to it; what shares
something may be, and the encoder says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from models.ngrams import BUCKETS

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.ngrams import Occurrences


class Rarity(NamedTuple):
    """How rare the n-grams of one kind are."""

    buckets: npt.NDArray[np.int32]
    """Shape (features,): the hash bucket of each that was seen."""
    weights: npt.NDArray[np.float32]
    """Shape (features,): its inverse document frequency."""
    unseen: float
    """That of all others."""


def rarity(occurrences: Occurrences, texts: int) -> Rarity:
    """Return how rare the n-grams of some texts are among them."""
    pairs = np.unique(occurrences.buckets * texts + occurrences.rows)
    buckets, counts = np.unique(pairs // max(1, texts), return_counts=True)
    weights = np.log((1 + texts) / (1 + counts)) + 1
    return Rarity(buckets.astype(np.int32), weights.astype(np.float32), float(np.log(1 + texts) + 1))


class Gate:
    """Lets texts through that are similar enough to one of those it was made of.

    Args:
        occurrences: The n-grams, of one kind, of what it is made of.
        texts: How many those are.
        rare: How rare the n-grams are.
        least: Shape (texts,): the cosine of weighted n-grams that a text must have with each of them.
    """

    def __init__(self, occurrences: Occurrences, texts: int, rare: Rarity, least: npt.NDArray[np.float32]) -> None:
        self._least = least
        self._weights = np.full(BUCKETS, rare.unseen, np.float32)
        self._weights[rare.buckets] = rare.weights
        known = np.unique(occurrences.buckets)
        self._columns = np.full(BUCKETS, -1, np.int32)
        self._columns[known] = np.arange(len(known), dtype=np.int32)
        self._texts = self._rows(occurrences, texts, len(known)).T.tocsr()

    def passes(self, occurrences: Occurrences, texts: int) -> npt.NDArray[np.bool_]:
        """Return which of some texts may be near, shape (texts,)."""
        passed = np.zeros(texts, np.bool_)
        if self._texts.shape[0]:
            similar = (self._rows(occurrences, texts, self._texts.shape[0]) @ self._texts).tocoo()
            passed[similar.row[similar.data >= self._least[similar.col]]] = True
        return passed

    def _rows(self, occurrences: Occurrences, texts: int, features: int) -> sparse.csr_matrix:
        """Return rows of length 1 or less over the n-grams that are known; what is not known has its share."""
        weights = self._weights[occurrences.buckets]
        lengths = np.sqrt(np.bincount(occurrences.rows, weights**2, texts))
        columns = self._columns[occurrences.buckets]
        known = columns >= 0
        rows = occurrences.rows[known]
        scaled = (weights[known] / np.maximum(lengths[rows], 1e-9)).astype(np.float32)
        return sparse.coo_matrix((scaled, (rows, columns[known])), (texts, features)).tocsr()
