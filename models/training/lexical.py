"""Trains the lexical classifier from a catalogue: linear support vectors over n-grams, calibrated on held-out texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.svm import LinearSVC

from models.lexical import Block, LexicalModel, Vectoriser
from models.ngrams import BUCKETS, Occurrences, ngrams
from models.training.folds import MANY_TEXTS, cross_validated_temperature

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.training.examples import Examples

_UNTRAINED_TEMPERATURE = 0.25
"""Near what is fitted to catalogues of many intents."""

_NEVER = -30.0


def train_lexical(examples: Examples, temperature: float | None = None) -> LexicalModel:
    """Train on all examples.

    Args:
        examples: What to learn.
        temperature: Of one that learnt nearly the same; left out: what calibrates models trained on four fifths of the
            examples for the rest.
    """
    if temperature is None:
        temperature = cross_validated_temperature(
            examples.truth,
            lambda learnt, out: _fit(examples.only(learnt), 1.0).logits(examples.only(out).texts),
            otherwise=_UNTRAINED_TEMPERATURE,
        )
    return _fit(examples, temperature)


def fit_jointly(
    examples: Examples,
    beside: npt.NDArray[np.float32],
    temperature: float,
    weights_of_texts: npt.NDArray[np.float64] | None = None,
) -> tuple[LexicalModel, npt.NDArray[np.float32]]:
    """Train one linear layer over n-grams and other features beside them.

    Args:
        examples: What to learn.
        beside: Shape (texts, width): the other features, which the caller has scaled.
        temperature: Of the sum of both parts.
        weights_of_texts: Shape (texts,): how much each counts; left out: all the same.

    Returns:
        The n-grams' part with the bias of both, and the weights of the others, shape (width, classes).
    """
    # Among many texts, an n-gram seen once costs memory and tells nothing.
    least = 2 if len(examples.texts) > MANY_TEXTS else 1
    found = [_features(occurrences, len(examples.texts), least) for occurrences in ngrams(examples.texts)]
    rows = [*(each for _, _, each in found), sparse.csr_matrix(beside)]
    weights, bias = _linear(sparse.hstack(rows, "csr"), examples, weights_of_texts)
    (word_buckets, word_idf, words), (character_buckets, character_idf, characters) = found
    parts = np.split(weights, np.cumsum([words.shape[1], characters.shape[1]]))
    model = LexicalModel(
        words=Block(word_buckets, word_idf, parts[0]),
        characters=Block(character_buckets, character_idf, parts[1]),
        bias=bias,
        temperature=temperature,
    )
    return model, parts[2]


def _fit(examples: Examples, temperature: float) -> LexicalModel:
    return fit_jointly(examples, np.empty((len(examples.texts), 0), np.float32), temperature)[0]


def _features(
    occurrences: Occurrences, texts: int, least: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], sparse.csr_matrix]:
    """Return the buckets seen in at least so many texts, their smoothed idf, and the texts' rows over them."""
    once_a_text = np.unique(occurrences.rows * BUCKETS + occurrences.buckets) % BUCKETS
    frequency = np.bincount(once_a_text, minlength=BUCKETS)
    buckets = np.flatnonzero(frequency >= least).astype(np.int32)
    idf = (np.log((1 + texts) / (1 + frequency[buckets])) + 1).astype(np.float32)
    return buckets, idf, Vectoriser(buckets, idf).rows(occurrences, texts)


def _linear(
    rows: sparse.csr_matrix, examples: Examples, weights_of_texts: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return weights of shape (features, classes) and biases; a class without texts is never the answer."""
    weights = np.zeros((rows.shape[1], examples.classes), np.float32)
    bias = np.full(examples.classes, _NEVER, np.float32)
    present = np.unique(examples.truth)
    if len(present) == 1:
        bias[present] = 0.0
        return weights, bias
    svm = LinearSVC(C=1.0, tol=1e-2, random_state=0).fit(rows, examples.truth, weights_of_texts)
    two = len(present) == 2  # noqa: PLR2004 - scikit-learn then gives one row, for the second class
    weights[:, present] = (np.vstack((-svm.coef_, svm.coef_)) if two else svm.coef_).T
    bias[present] = np.concatenate((-svm.intercept_, svm.intercept_)) if two else svm.intercept_
    return weights, bias
