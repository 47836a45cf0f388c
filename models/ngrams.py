"""Hashed n-grams of words and characters for a whole batch at once.

A vectoriser that walks each token in Python spends more time there than the classifier spends on its answer. Here a
batch is one array of code points, and every n-gram of one length is hashed by a few passes of numpy over that array.
Hashes stand in for a vocabulary, so that a trained model is arrays and nothing else.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

BUCKET_BITS = 20
BUCKETS = 1 << BUCKET_BITS
VERSION = 1
"""Raised whenever the same text would give other buckets: models trained before do not fit any more."""

_SHORTEST, _LONGEST = 2, 5
_BLANK = ord(" ")
_PLANE = 0x10000
_PRIME = np.uint64(0x100000001B3)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_WORD = np.uint64(0xD6E8FEB86659FD93)


class Occurrences(NamedTuple):
    """Every n-gram of one kind in a batch, in the order of the texts."""

    rows: npt.NDArray[np.intp]
    """Shape (occurrences,): which text."""
    buckets: npt.NDArray[np.intp]
    """Shape (occurrences,): which feature, below `BUCKETS`."""


def _word_characters() -> npt.NDArray[np.bool_]:
    """Return for each code point of the basic plane whether words are made of it: letters, marks and numbers."""
    return np.array([unicodedata.category(chr(point))[0] in "LMN" for point in range(_PLANE)])


_IN_WORD = _word_characters()


def ngrams(texts: Sequence[str]) -> tuple[Occurrences, Occurrences]:
    """Return the word n-grams (1 and 2) and the character n-grams (2 to 5, within words) of normalised texts."""
    points, rows = _code_points(texts)
    blank = points == _BLANK
    return _word_ngrams(points, rows, blank), _character_ngrams(points, rows, blank)


def _code_points(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.intp]]:
    """Return all texts as one array, each with a blank before it, and the text that each position belongs to."""
    joined = " " + " ".join(texts) + " "
    points = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    # Beyond the basic plane stand emoji and rare scripts, all of which tell something.
    outside = ~_IN_WORD[points % _PLANE] & (points < _PLANE)
    rows = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
    return np.where(outside, _BLANK, points).astype(np.uint64), np.append(rows, len(texts) - 1)


def _character_ngrams(
    points: npt.NDArray[np.uint64], rows: npt.NDArray[np.intp], blank: npt.NDArray[np.bool_]
) -> Occurrences:
    """Hash each run of 2 to 5 characters that crosses no blank; it may begin or end with one."""
    found_rows, found_hashes = [], []
    hashes, whole = points, np.ones(len(points), np.bool_)
    for length in range(2, _LONGEST + 1):
        hashes = hashes[:-1] * _PRIME + points[length - 1 :]
        inner = blank[length - 2 : -1]
        whole = whole[:-1] & (~inner if length > _SHORTEST else ~(blank[:-1] & blank[1:]))
        found_rows.append(rows[: len(rows) - length + 1][whole])
        found_hashes.append(hashes[whole] + np.uint64(length))
    return Occurrences(np.concatenate(found_rows), _buckets(np.concatenate(found_hashes)))


def _word_ngrams(
    points: npt.NDArray[np.uint64], rows: npt.NDArray[np.intp], blank: npt.NDArray[np.bool_]
) -> Occurrences:
    """Hash each word and each pair of neighbouring words."""
    starts = np.flatnonzero(blank[:-1] & ~blank[1:]) + 1
    if not len(starts):
        return Occurrences(np.empty(0, np.intp), np.empty(0, np.intp))
    ends = np.flatnonzero(~blank[:-1] & blank[1:]) + 1
    letters = np.flatnonzero(~blank)
    lengths = ends - starts
    first_letters = np.cumsum(lengths) - lengths
    place = np.arange(len(letters)) - np.repeat(first_letters, lengths)
    powers = np.cumprod(np.full(int(lengths.max()), _PRIME))
    words = np.add.reduceat(points[letters] * powers[place], first_letters) * _WORD
    word_rows = rows[starts]
    neighbours = word_rows[:-1] == word_rows[1:]
    pairs = (words[:-1] * _PRIME + words[1:])[neighbours]
    return Occurrences(
        np.concatenate((word_rows, word_rows[:-1][neighbours])), _buckets(np.concatenate((words, pairs)))
    )


def _buckets(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Return the upper bits of a multiplied hash, the ones that depend on all of it."""
    mixed = (hashes ^ (hashes >> np.uint64(29))) * _SPREAD
    return (mixed >> np.uint64(64 - BUCKET_BITS)).astype(np.intp)
