"""Refines the zero-shot tier on texts that nobody labelled: what it thinks of them, evened out, is what it learns from.

Without examples, each intent begins as the direction of its name and moves to the middle of the texts that are nearest
to it, as in k-means on a sphere, held back by the name. With examples, the head itself says which text is what, and
texts that are near to each other then say it of each other. Either way no intent may take many more texts than the
others, softly, and a new head learns from the names, the examples and the texts. Nothing of it serves before somebody
has looked at it: `refine` returns a model and swaps none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import brentq

from models.calibration import softmax
from models.text import normalise
from models.training.examples import Examples, examples_of
from models.training.folds import deal
from models.training.hybrid import make_hybrid
from models.training.zero_shot import fit_head
from models.zero_shot import Head, ZeroShotModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from models.catalogue import Catalogue
    from models.prediction import Probabilities

    Embeddings = npt.NDArray[np.float32]

_SHARPNESS = 1 / 0.03
_ROUNDS = 15
_HOLD = 0.3
"""Weight of an intent's name against the texts around it, in texts of full membership a text."""

_EVENNESS = 0.3
"""0: an intent may take any number of texts; 1: all must take as many (Sinkhorn 1967; Asano et al. 2020)."""

_EVENING_ROUNDS = 4
_TRUSTED_SHARE = 0.8
"""Of an intent's texts, the surest that are learnt from where there are no examples."""

_NAME_WEIGHT = 5.0
_EXAMPLE_WEIGHT = 2.0
"""How much a name or an example counts, where an unlabelled text counts as much as it is surely one intent's."""

_NEIGHBOURS = 5
_NEARNESS = np.float32(10.0)
"""A text whose cosine is a tenth less is heard by a factor of e less."""
_HEARSAY = np.float32(0.7)
"""How much what neighbours say counts against what a text says itself."""
_HEARING_ROUNDS = 10
_ROWS = 512

# All of these were chosen on CLINC150, BANKING77 and SNIPS together; results move by less than a point around them.

_FEWEST_TEXTS = 2
_TEMPERATURES = (0.01, 100.0)


class Guess(NamedTuple):
    """What unlabelled texts are taken for."""

    columns: npt.NDArray[np.intp]
    """Shape (texts,)."""
    confidence: npt.NDArray[np.float32]
    """Shape (texts,)."""


def refine(
    catalogue: Catalogue,
    model: ZeroShotModel,
    unlabelled: Sequence[str],
    *,
    temperature: float | None = None,
    hears_ngrams: bool = True,
) -> ZeroShotModel:
    """Return a model that has learnt from unlabelled texts, too; the one given stays as it is.

    Args:
        catalogue: What the model was made from.
        model: The prepared one.
        unlabelled: As they were said; out-of-scope texts among them are taken for some intent, with little confidence.
        temperature: Left out: at which it is as sure as the model given.
        hears_ngrams: Without them it is right nearly as often, and learns in a seventh of the time or less.
    """
    texts = list(dict.fromkeys(normalise(text) for text in unlabelled))
    if len(texts) < _FEWEST_TEXTS * len(catalogue.intents):
        return model
    traffic = model.encoder.embed(texts)
    examples = examples_of(catalogue, descriptions=True)
    known = model.encoder.embed(examples.texts)
    intents = len(catalogue.intents)
    before = softmax(model.logits(texts, traffic), model.head.temperature)
    sure = float(before.max(axis=1).mean())
    if any(intent.examples for intent in catalogue.intents):
        guess = take_for(known, examples.truth, traffic, before)
        learnt, weight = np.ones(len(texts), np.bool_), _EXAMPLE_WEIGHT
    else:
        guess = _guess_of(cluster(known, examples.truth, traffic, intents))
        learnt, weight = _surest(guess, intents), _NAME_WEIGHT
        # Names alone are too humble, and clusters too proud.
        sure = (sure + float(guess.confidence.mean())) / 2

    def student(taken: npt.NDArray[np.bool_], temperature: float) -> ZeroShotModel:
        lesson = Examples(
            [*examples.texts, *(text for text, chosen in zip(texts, taken, strict=True) if chosen)],
            np.concatenate((examples.truth, guess.columns[taken])),
            intents + 1,
        )
        weights = np.concatenate((np.full(len(known), weight), guess.confidence[taken]))
        embeddings = np.concatenate((known, traffic[taken]))
        if not hears_ngrams:
            coefficients, bias = fit_head(embeddings, lesson.truth, lesson.classes, weights)
            return ZeroShotModel(model.encoder, Head(weights=coefficients, bias=bias, temperature=temperature))
        return make_hybrid(model.encoder, lesson, embeddings, temperature=temperature, weights_of_texts=weights)

    if temperature is not None:
        return student(learnt, temperature)
    out = deal(guess.columns) == 0
    asked = [text for text, held_out in zip(texts, out, strict=True) if held_out]
    temperature = _temperature_for(student(learnt & ~out, 1.0).logits(asked, traffic[out]), sure)
    return student(learnt, temperature)


def take_for(known: Embeddings, truth: npt.NDArray[np.intp], traffic: Embeddings, alone: Probabilities) -> Guess:
    """Return what each text is taken for by what a model says of it alone, and by its neighbours.

    Args:
        known: Embeddings of texts whose intent is known.
        truth: Whose each is; one that is no intent's says nothing.
        traffic: Embeddings of the unlabelled texts.
        alone: What the model says of those, shape (texts, classes); the last class is out of scope, and not heard.
    """
    return _guess_of(spread(known, truth, traffic, evened(np.log(np.maximum(alone[:, :-1], 1e-12)))))


def cluster(names: Embeddings, truth: npt.NDArray[np.intp], traffic: Embeddings, intents: int) -> Probabilities:
    """Return what each text is taken for, shape (texts, intents), starting from the intents' names.

    Args:
        names: Embeddings of names and descriptions.
        truth: Whose each is.
        traffic: Embeddings of the unlabelled texts.
        intents: How many.
    """
    # What all texts have in common says nothing; names are no sentences and have something else in common.
    own, texts = _centred(names), _centred(traffic)
    anchors = np.zeros((intents, names.shape[1]), np.float32)
    inside = truth < intents
    np.add.at(anchors, truth[inside], own[inside])
    anchors = _unit(anchors)
    middles = anchors
    for _ in range(_ROUNDS):
        belonging = evened(texts @ middles.T * np.float32(_SHARPNESS))
        sizes = np.maximum(belonging.sum(axis=0), 1)[:, None]
        middles = _unit(belonging.T @ texts / sizes + np.float32(_HOLD) * anchors)
    return evened(texts @ middles.T * np.float32(_SHARPNESS))


def spread(known: Embeddings, truth: npt.NDArray[np.intp], traffic: Embeddings, guess: Probabilities) -> Probabilities:
    """Return what each text is taken for once it has heard its neighbours, shape (texts, intents).

    A head that a few examples made is often wrong about a whole heap of texts beside them, and seldom about its middle
    (Zhou et al. 2003, Learning with local and global consistency).

    Args:
        known: Embeddings of texts whose intent is known.
        truth: Whose each is; one that is no intent's says nothing.
        traffic: Embeddings of the unlabelled texts.
        guess: What each of those is taken for by itself, shape (texts, intents).
    """
    near = _neighbours(np.concatenate((known, traffic)))
    said = np.zeros((len(known) + len(traffic), guess.shape[1]), np.float32)
    inside = np.flatnonzero(truth < guess.shape[1])
    said[inside, truth[inside]] = 1
    said[len(known) :] = guess
    heard = said
    for _ in range(_HEARING_ROUNDS):
        heard = _HEARSAY * (near @ heard) + (1 - _HEARSAY) * said
    taken = heard[len(known) :]
    shares: Probabilities = taken / taken.sum(axis=1, keepdims=True)
    return shares


def _neighbours(embeddings: Embeddings) -> sparse.csr_array:
    """Return how much each text listens to each other one, shape (texts, texts): to those nearest, either way round."""
    texts, most = len(embeddings), min(_NEIGHBOURS, len(embeddings) - 1)
    columns, weights = np.empty((texts, most), np.intp), np.empty((texts, most), np.float32)
    for start in range(0, texts, _ROWS):
        rows = np.arange(start, min(start + _ROWS, texts))
        cosines = embeddings[rows] @ embeddings.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        columns[rows] = nearest
        weights[rows] = np.exp(_NEARNESS * (np.take_along_axis(cosines, nearest, axis=1) - 1))
    listening = sparse.csr_array(
        (weights.ravel(), (np.repeat(np.arange(texts), most), columns.ravel())), shape=(texts, texts)
    )
    listening = listening.maximum(listening.T)
    evenly = sparse.diags_array(1 / np.sqrt(listening.sum(axis=1)))
    return (evenly @ listening @ evenly).tocsr().astype(np.float32)


def evened(logits: npt.NDArray[np.float32]) -> Probabilities:
    """Return rows of probabilities whose columns are drawn towards equal sums."""
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    pull = np.ones(likely.shape[1], np.float32)
    for _ in range(_EVENING_ROUNDS):
        shares = (1 / (likely @ pull)) @ likely * pull / len(likely)
        pull *= (1 / len(pull) / np.maximum(shares, 1e-9)) ** np.float32(_EVENNESS)
    likely *= pull
    likely /= likely.sum(axis=1, keepdims=True)
    evened_rows: Probabilities = likely
    return evened_rows


def _guess_of(belonging: Probabilities) -> Guess:
    return Guess(belonging.argmax(axis=1), belonging.max(axis=1))


def _surest(guess: Guess, intents: int) -> npt.NDArray[np.bool_]:
    """Choose the surest of each intent's texts, so that none is crowded out by those that are told apart easily."""
    chosen = np.zeros(len(guess.columns), np.bool_)
    for column in range(intents):
        rows = np.flatnonzero(guess.columns == column)
        surest = rows[np.argsort(-guess.confidence[rows], kind="stable")]
        chosen[surest[: max(_FEWEST_TEXTS, round(_TRUSTED_SHARE * len(rows)))]] = True
    return chosen


def _temperature_for(logits: npt.NDArray[np.float32], sure: float) -> float:
    """Return the temperature at which the mean confidence is this: a student is no surer than its teacher was.

    Args:
        logits: Of texts that the student did not learn from, shape (texts, classes).
        sure: The teacher's mean confidence.
    """

    def excess(log_temperature: float) -> float:
        return float(softmax(logits.copy(), float(np.exp(log_temperature))).max(axis=1).mean()) - sure

    low, high = np.log(_TEMPERATURES)
    if excess(low) <= 0 or excess(high) >= 0:
        return 1.0
    return float(np.exp(brentq(excess, low, high, xtol=1e-3)))


def _centred(embeddings: Embeddings) -> Embeddings:
    return _unit(embeddings - embeddings.mean(axis=0))


def _unit(rows: Embeddings) -> Embeddings:
    scaled: Embeddings = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return scaled
