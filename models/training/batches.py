"""Token ids dealt into batches: texts of like length together, so that little of a batch is padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.tokens import Padded, padded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

_SORTED_TOGETHER = 50
"""Batches. Within so many, texts are sorted by length; between them chance keeps its say."""


class Batch(NamedTuple):
    """Some texts."""

    rows: npt.NDArray[np.intp]
    """Shape (texts,): which."""
    tokens: Padded


def shuffled(tokens: Sequence[Sequence[int]], size: int, *, seed: int, epoch: int) -> list[npt.NDArray[np.intp]]:
    """Return the rows of each batch of an epoch; the same for the same seed and epoch."""
    generator = np.random.default_rng((seed, epoch))
    lengths = np.array([len(ids) for ids in tokens])
    order = generator.permutation(len(tokens))
    batches: list[npt.NDArray[np.intp]] = []
    for start in range(0, len(order), size * _SORTED_TOGETHER):
        some = order[start : start + size * _SORTED_TOGETHER]
        some = some[np.argsort(lengths[some], kind="stable")]
        batches += [some[first : first + size] for first in range(0, len(some), size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def by_length(tokens: Sequence[Sequence[int]], size: int) -> Iterator[Batch]:
    """Walk all texts once, the shortest first."""
    order = np.argsort([len(ids) for ids in tokens], kind="stable")
    for start in range(0, len(order), size):
        yield batch_of(tokens, order[start : start + size])


def batch_of(tokens: Sequence[Sequence[int]], rows: npt.NDArray[np.intp]) -> Batch:
    """Pad the chosen texts to the longest of them."""
    return Batch(rows, padded([tokens[row] for row in rows]))
