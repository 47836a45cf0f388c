"""Trains the lexical classifier from a catalogue: linear support vectors over n-grams, calibrated on held-out texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.svm import LinearSVC

from models.calibration import fit_temperature
from models.lexical import Block, LexicalModel, Vectoriser
from models.ngrams import BUCKETS, Occurrences, ngrams
from models.text import normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from models.catalogue import Catalogue

MANY_TEXTS = 5_000
"""From here on an n-gram must be seen twice, and one held-out fifth calibrates as well as five."""

_FOLDS = 5
_UNTRAINED_TEMPERATURE = 0.25
_NEVER = -30.0


class Examples(NamedTuple):
    """What a model is trained on."""

    texts: Sequence[str]
    truth: npt.NDArray[np.intp]
    """Shape (texts,): the class of each."""
    classes: int
    """Intents and, whether there are texts for it or not, out-of-scope."""


def examples_of(catalogue: Catalogue) -> Examples:
    """Return the catalogue's examples, each intent's name among them, and its out-of-scope texts as the last class."""
    texts, truth = [], []
    for position, intent in enumerate(catalogue.intents):
        said = [intent.name.replace("_", " "), *intent.examples]
        texts += said
        truth += [position] * len(said)
    texts += catalogue.out_of_scope
    truth += [len(catalogue.intents)] * len(catalogue.out_of_scope)
    return Examples([normalise(text) for text in texts], np.array(truth, np.intp), len(catalogue.intents) + 1)


def train_lexical(examples: Examples, *, seed: int = 0) -> LexicalModel:
    """Train on all examples, and calibrate by what models trained on four fifths of them say about the rest."""
    folds = _folds(examples.truth, seed)
    held_out = range(1 if len(examples.texts) > MANY_TEXTS else _FOLDS)
    logits, truth = [], []
    for fold in held_out:
        out = folds == fold
        if out.any():
            logits.append(_fit(_select(examples, ~out), 1.0).logits(_select(examples, out).texts))
            truth.append(examples.truth[out])
    temperature = fit_temperature(np.concatenate(logits), np.concatenate(truth)) if logits else _UNTRAINED_TEMPERATURE
    return _fit(examples, temperature)


def _folds(truth: npt.NDArray[np.intp], seed: int) -> npt.NDArray[np.intp]:
    """Deal each class's texts over the folds; a class's only text is in none, for nothing would be left to learn."""
    folds = np.full(len(truth), -1, np.intp)
    generator = np.random.default_rng(seed)
    for position in np.unique(truth):
        members = generator.permutation(np.flatnonzero(truth == position))
        if len(members) > 1:
            folds[members] = (np.arange(len(members)) + generator.integers(_FOLDS)) % _FOLDS
    return folds


def _select(examples: Examples, chosen: npt.NDArray[np.bool_]) -> Examples:
    texts = [text for text, keep in zip(examples.texts, chosen, strict=True) if keep]
    return Examples(texts, examples.truth[chosen], examples.classes)


def _fit(examples: Examples, temperature: float) -> LexicalModel:
    least = 2 if len(examples.texts) > MANY_TEXTS else 1
    features = [_features(occurrences, len(examples.texts), least) for occurrences in ngrams(examples.texts)]
    weights, bias = _linear(sparse.hstack([rows for _, _, rows in features], "csr"), examples)
    (word_buckets, word_idf, words), (character_buckets, character_idf, _) = features
    return LexicalModel(
        words=Block(word_buckets, word_idf, weights[: words.shape[1]]),
        characters=Block(character_buckets, character_idf, weights[words.shape[1] :]),
        bias=bias,
        temperature=temperature,
    )


def _features(
    occurrences: Occurrences, texts: int, least: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], sparse.csr_matrix]:
    """Return the buckets seen in at least so many texts, their smoothed idf, and the texts' rows over them."""
    once_a_text = np.unique(occurrences.rows * BUCKETS + occurrences.buckets) % BUCKETS
    frequency = np.bincount(once_a_text, minlength=BUCKETS)
    buckets = np.flatnonzero(frequency >= least).astype(np.int32)
    idf = (np.log((1 + texts) / (1 + frequency[buckets])) + 1).astype(np.float32)
    return buckets, idf, Vectoriser(buckets, idf).rows(occurrences, texts)


def _linear(rows: sparse.csr_matrix, examples: Examples) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return weights of shape (features, classes) and biases; a class without texts is never the answer."""
    weights = np.zeros((rows.shape[1], examples.classes), np.float32)
    bias = np.full(examples.classes, _NEVER, np.float32)
    present = np.unique(examples.truth)
    if len(present) == 1:
        bias[present] = 0.0
        return weights, bias
    svm = LinearSVC(C=1.0, tol=1e-2, random_state=0).fit(rows, examples.truth)
    two = len(present) == 2  # noqa: PLR2004 - scikit-learn then gives one row, for the second class
    weights[:, present] = (np.vstack((-svm.coef_, svm.coef_)) if two else svm.coef_).T
    bias[present] = np.concatenate((-svm.intercept_, svm.intercept_)) if two else svm.intercept_
    return weights, bias
