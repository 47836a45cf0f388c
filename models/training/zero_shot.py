"""Makes the zero-shot tier's head: from names and descriptions where that is all there is, else from examples, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from models.text import normalise
from models.training.examples import examples_of, label_words
from models.training.folds import cross_validated_temperature, deal
from models.training.hybrid import make_hybrid
from models.zero_shot import Head, ZeroShotModel

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.catalogue import Catalogue
    from models.encoder import Encoder
    from models.training.examples import Examples

_COSINE_TEMPERATURE = 0.05
_OUT_OF_SCOPE_COSINE = 0.15
"""Both chosen on CLINC150, BANKING77 and SNIPS by their labels alone."""

_INVERSE_REGULARISATION = 30.0
"""Chosen on CLINC150 and BANKING77 at 5 and 10 examples; 10 to 100 are within half a point."""

_UNTRAINED_TEMPERATURE = 1.0
_NEVER = -1e4


_FEW_EXAMPLES, _MANY_EXAMPLES = 8, 50
"""An intent: below the first, n-grams were never seen to help, above the second always; between them, it is tried."""


def make_zero_shot(catalogue: Catalogue, encoder: Encoder, like: ZeroShotModel | None = None) -> ZeroShotModel:
    """Return the model that this catalogue has enough words for.

    Args:
        catalogue: What to learn.
        encoder: Of the embeddings.
        like: A model that learnt nearly the same, whose kind and temperature to take over; left out: held-out texts
            decide on both.
    """
    temperature = like.head.temperature if like else None
    examples = examples_of(catalogue, descriptions=True)
    each = len(examples.texts) / len(catalogue.intents) - 1
    if (like is not None and like.lexical is None) or each < _FEW_EXAMPLES:
        return ZeroShotModel(encoder, make_head(catalogue, encoder, temperature))
    embeddings = encoder.embed(examples.texts)
    if like is None and each < _MANY_EXAMPLES and not _ngrams_help(encoder, examples, embeddings):
        return ZeroShotModel(encoder, make_head(catalogue, encoder, temperature))
    return make_hybrid(encoder, examples, embeddings, temperature=temperature)


def _ngrams_help(encoder: Encoder, examples: Examples, embeddings: npt.NDArray[np.float32]) -> bool:
    """Say which of both kinds answers a held-out fifth better."""
    out = deal(examples.truth) == 0
    learnt, asked = examples.only(~out), examples.only(out)
    weights, bias = fit_head(embeddings[~out], learnt.truth, examples.classes)
    plain = (embeddings[out] @ weights + bias).argmax(axis=1)
    hybrid = make_hybrid(encoder, learnt, embeddings[~out], temperature=1.0)
    joint = hybrid.logits(asked.texts, embeddings[out]).argmax(axis=1)
    return bool((joint == asked.truth).sum() > (plain == asked.truth).sum())


def make_head(catalogue: Catalogue, encoder: Encoder, temperature: float | None = None) -> Head:
    """Return the head that this catalogue has enough words for.

    Args:
        catalogue: What to learn.
        encoder: Of the embeddings.
        temperature: Of a head that learnt nearly the same; left out: what calibrates it on held-out texts.
    """
    if any(intent.examples for intent in catalogue.intents):
        return _from_examples(catalogue, encoder, temperature)
    return _from_descriptions(catalogue, encoder)


def _from_descriptions(catalogue: Catalogue, encoder: Encoder) -> Head:
    """Compare with the mean of an intent's name and description; what is near to none is out of scope."""
    names = encoder.embed([label_words(intent) for intent in catalogue.intents])
    told = encoder.embed([normalise(intent.description) or label_words(intent) for intent in catalogue.intents])
    prototypes = names + told
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    beyond = np.zeros((prototypes.shape[1], 1), np.float32)
    bias = np.zeros(len(prototypes) + 1, np.float32)
    bias[-1] = _OUT_OF_SCOPE_COSINE
    return Head(weights=np.hstack((prototypes.T, beyond)), bias=bias, temperature=_COSINE_TEMPERATURE)


def _from_examples(catalogue: Catalogue, encoder: Encoder, temperature: float | None) -> Head:
    """Fit logistic regression to names, descriptions and examples, calibrated on held-out texts."""
    examples = examples_of(catalogue, descriptions=True)
    embeddings = encoder.embed(examples.texts)

    def held_out(learnt: npt.NDArray[np.bool_], out: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        weights, bias = fit_head(embeddings[learnt], examples.truth[learnt], examples.classes)
        return embeddings[out] @ weights + bias

    if temperature is None:
        temperature = cross_validated_temperature(examples.truth, held_out, otherwise=_UNTRAINED_TEMPERATURE)
    weights, bias = fit_head(embeddings, examples.truth, examples.classes)
    return Head(weights=weights, bias=bias, temperature=temperature)


def fit_head(
    embeddings: npt.NDArray[np.float32],
    truth: npt.NDArray[np.intp],
    classes: int,
    weights_of_texts: npt.NDArray[np.float64] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the weights, shape (width, classes), and biases of a logistic regression.

    Args:
        embeddings: Shape (texts, width).
        truth: Shape (texts,), the class of each; a class without texts is never the answer.
        classes: How many.
        weights_of_texts: Shape (texts,): how much each counts; left out: all the same.
    """
    weights = np.zeros((embeddings.shape[1], classes), np.float32)
    bias = np.full(classes, _NEVER, np.float32)
    present = np.unique(truth)
    if len(present) == 1:
        bias[present] = 0.0
        return weights, bias
    regression = LogisticRegression(C=_INVERSE_REGULARISATION, tol=1e-4, max_iter=200)
    # BLAS threads wait for each other by spinning: two on a busy machine took ten times the processor time of one.
    with threadpool_limits(1, user_api="blas"):
        regression.fit(embeddings, truth, weights_of_texts)
    two = len(present) == 2  # noqa: PLR2004 - scikit-learn then gives one row, for the second class
    coefficients, intercept = regression.coef_, regression.intercept_
    weights[:, present] = (np.vstack((-coefficients, coefficients)) / 2 if two else coefficients).T
    bias[present] = np.concatenate((-intercept, intercept)) / 2 if two else intercept
    return weights, bias
