"""Texts that say nearly the same thing in nearly the same letters, found without comparing each with each.

Similarity is Jaccard's, over character trigrams. A text at least `t` similar to one of `n` trigrams lacks at most
`n - ceil(t * n)` of them; so of any `n - ceil(t * n) + k` it has `k`. Asking for the rarest ones meets few other texts
(after Chaudhuri, Ganti, Kaushik: A primitive operator for similarity joins in data cleaning, 2006).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHARED = 6  # the `k` above; measured: more makes the product slower, fewer the verification
_ROWS = 256  # texts compared at a time, to bound memory
_MAX_CANDIDATES = 256  # of one text; bounds the work that thousands of near-identical texts can cause

Positions = npt.NDArray[np.intp]


class SimilarPair(msgspec.Struct, frozen=True):
    """Positions of two texts, the first before the second, and how alike they are, from 0 to 1."""

    first: int
    second: int
    similarity: float


def similar_pairs(texts: Sequence[str], threshold: float) -> Iterator[SimilarPair]:
    """Yield the pairs that are at least so similar, in the order of the later text."""
    if not texts:
        return
    trigrams = CountVectorizer(
        analyzer="char_wb", ngram_range=(3, 3), binary=True, lowercase=False, dtype=np.int32
    ).fit_transform(texts)
    sizes = np.diff(trigrams.indptr)
    needed = np.ceil(threshold * sizes).astype(int)
    shared = np.minimum(_SHARED, needed)
    probes = _rarest(trigrams, sizes - needed + shared)
    for start in range(0, len(texts), _ROWS):
        rows = slice(start, start + _ROWS)
        seconds, firsts = _candidates(probes[rows], trigrams, shared[rows], start)
        overlap = np.asarray(trigrams[seconds].multiply(trigrams[firsts]).sum(axis=1)).ravel()
        similarity = overlap / (sizes[seconds] + sizes[firsts] - overlap)
        for pair in np.flatnonzero(similarity >= threshold):
            yield SimilarPair(int(firsts[pair]), int(seconds[pair]), float(similarity[pair]))


def _rarest(trigrams: Any, counts: Positions) -> Any:
    """Return the matrix with only so many of each row's rarest trigrams."""
    sizes = np.diff(trigrams.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    frequency = np.asarray(trigrams.sum(axis=0)).ravel()
    rarest_first = trigrams.indices[np.lexsort((frequency[trigrams.indices], rows))]
    rank = np.arange(trigrams.nnz) - np.repeat(trigrams.indptr[:-1], sizes)
    kept = rank < counts[rows]
    return sparse.csr_matrix((trigrams.data[kept], (rows[kept], rarest_first[kept])), shape=trigrams.shape)


def _candidates(probes: Any, trigrams: Any, shared: Positions, start: int) -> tuple[Positions, Positions]:
    """Return the positions of texts, and of earlier ones that share enough of their probes."""
    overlaps = (probes @ trigrams[: start + probes.shape[0]].T).tocoo()
    enough = (overlaps.col < overlaps.row + start) & (overlaps.data >= shared[overlaps.row])
    rows, firsts = overlaps.row[enough], overlaps.col[enough]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)  # a product of compressed rows has its rows in order
    kept = rank < _MAX_CANDIDATES
    return rows[kept] + start, firsts[kept]
