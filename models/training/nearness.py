"""Fits how near is near on a catalogue's own examples: no text of a test, and no constant of one data set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from sklearn.covariance import ledoit_wolf

from models.learning.gate import rarity
from models.learning.nearness import Groups, Nearness, Space, group
from models.ngrams import ngrams
from models.training.examples import examples_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.catalogue import Catalogue
    from models.encoder import Encoder

    Embeddings = npt.NDArray[np.float32]
    Columns = npt.NDArray[np.intp]

_PRECISION = 0.98
"""Of nearest neighbours that share their intent, from the least cosine on."""
_COSINES = np.round(np.arange(0.75, 0.955, 0.01), 2)
"""What the least cosine may be. Below, no sentence encoder means "the same"; above, typing errors are far apart."""

_TAUGHT = 5
"""Examples of an intent that stand for a taught one, while the threshold is fitted."""
_TOLERATED = 0.001
"""Of other intents' texts, so many may be taken by an intent that is taught."""
_FEWEST_EXAMPLES = 2
"""Of an intent, to tell how its texts differ."""
_FEWEST_INTENTS = 4
_LEAST_SPREAD = 0.05
"""Of the mean over all directions: in none do intents lie on one another altogether."""
_PARTS = 5
"""Of the intents: each is measured in a space that was made without it, as the intent is that somebody will teach."""
_FEWEST_TEXTS = 40

_MOST_EXAMPLES = 20_000
"""Whose embeddings are kept, 768 bytes each; of more, some are drawn."""
_ROWS = 512


def fit_nearness(catalogue: Catalogue, encoder: Encoder) -> Nearness:
    """Return what is near by this catalogue's examples, in this encoder's embeddings."""
    examples = examples_of(catalogue)
    embeddings = encoder.embed(examples.texts)
    kept = np.sort(np.random.default_rng(0).permutation(len(embeddings))[:_MOST_EXAMPLES])
    embeddings, columns = embeddings[kept], examples.truth[kept]
    least_cosine, precision = _least_cosine(embeddings, columns)
    _, characters = ngrams(examples.texts)
    nearness = Nearness(
        least_cosine=least_cosine,
        precision=precision,
        examples=embeddings.astype(np.float16),
        intents=columns,
        characters=rarity(characters, len(examples.texts)),
    )
    inside = columns < len(catalogue.intents)
    return _with_space(nearness, embeddings[inside], columns[inside])


def _least_cosine(embeddings: Embeddings, columns: Columns) -> tuple[float, float]:
    """Return from which cosine on nearest neighbours share their intent often enough, and how often they do."""
    nearest, cosine = _nearest_neighbours(embeddings)
    same = columns[nearest] == columns
    for least in _COSINES:
        near = cosine >= least
        # One more that is wrong, so that few neighbours prove little.
        precision = same[near].sum() / (near.sum() + 1)
        if precision >= _PRECISION:
            return float(least), float(precision)
    return float(_COSINES[-1]), _PRECISION


def _nearest_neighbours(embeddings: Embeddings) -> tuple[Columns, Embeddings]:
    nearest, cosine = np.zeros(len(embeddings), np.intp), np.zeros(len(embeddings), np.float32)
    for start in range(0, len(embeddings), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(embeddings)))
        cosines = embeddings[rows] @ embeddings.T
        cosines[np.arange(len(rows)), rows] = -1
        nearest[rows], cosine[rows] = cosines.argmax(axis=1), cosines.max(axis=1)
    return nearest, cosine


def _with_space(nearness: Nearness, embeddings: Embeddings, columns: Columns) -> Nearness:
    """Add the whitened space and its threshold, where there are examples enough to know one."""
    counts = np.bincount(columns)
    several = np.flatnonzero(counts >= _FEWEST_EXAMPLES)
    if len(several) < _FEWEST_INTENTS or len(columns) < _FEWEST_TEXTS:
        return nearness
    chosen = np.isin(columns, several)
    embeddings, members = embeddings[chosen], np.searchsorted(several, columns[chosen])
    space, groups = _space(embeddings, members, len(several))
    margin = _least_margin(embeddings, members, len(several))
    return msgspec.structs.replace(nearness, space=space, catalogue=groups, least_margin=margin)


def _space(embeddings: Embeddings, members: Columns, groups: int) -> tuple[Space, Groups]:
    """Return the space in which texts of one intent differ alike in every direction, and the intents in it."""
    plain = group(embeddings, members, groups)
    residuals = (embeddings - plain.means[members]).astype(np.float64)
    covariance, _ = ledoit_wolf(residuals, assume_centered=True)
    covariance *= len(residuals) / max(1, len(residuals) - groups)  # each mean took a degree of freedom
    variances, directions = np.linalg.eigh(covariance)
    whitening = directions / np.sqrt(np.maximum(variances, 1e-8))
    means = plain.means @ whitening
    between, _ = ledoit_wolf(means - means.mean(axis=0), assume_centered=True)
    apart, turned = np.linalg.eigh(between)
    whitening = (whitening @ turned).astype(np.float32)
    found = Groups(plain.means @ whitening, plain.counts)
    # The means' variance has that of their examples in it; where that is all of it, intents are not told apart.
    noise = float((1 / found.counts).mean())
    spread = np.maximum(apart - noise, max(1e-3, _LEAST_SPREAD * (float(apart.mean()) - noise))).astype(np.float32)
    return Space(whitening=whitening, centre=found.means.mean(axis=0), spread=spread), found


def _least_margin(embeddings: Embeddings, members: Columns, groups: int) -> float:
    """Return the margin at which intents taught by a few examples take no more of the others' texts than tolerated.

    A part of the intents after another is taken out. In the space that the others make, each of the part is taught anew
    by a few of its examples, and the examples of the rest of the part are asked. Only those count that their own intent
    would get without it.
    """
    chance = np.random.default_rng(0)
    parts = chance.permutation(groups) % min(_PARTS, groups // 2)
    few = np.zeros(len(members), np.bool_)
    for number in range(groups):
        few[chance.permutation(np.flatnonzero(members == number))[:_TAUGHT]] = True
    margins = [_margins(embeddings, members, few, parts == part) for part in range(parts.max() + 1)]
    everything = np.concatenate(margins)
    return float(np.quantile(everything, 1 - _TOLERATED)) if len(everything) else math.inf


def _margins(
    embeddings: Embeddings, members: Columns, few: npt.NDArray[np.bool_], out: npt.NDArray[np.bool_]
) -> Embeddings:
    """Return how much likelier each text of some intents is to come from each other one of them, taught by a few.

    Args:
        embeddings: Shape (texts, width).
        members: Shape (texts,): each one's intent.
        few: Shape (texts,): which are to teach.
        out: Shape (intents,): which intents are taken out.
    """
    asked = out[members]
    known, taught = np.flatnonzero(~out), np.flatnonzero(out)
    space, _ = _space(embeddings[~asked], np.searchsorted(known, members[~asked]), len(known))
    whitened = space.whiten(embeddings)
    groups = group(whitened, members, len(out))
    texts, own_column = whitened[asked], members[asked]
    rows = np.arange(len(texts))
    likelihoods = space.likelihoods(texts, groups)
    own = likelihoods[rows, own_column] = space.own_likelihoods(texts, own_column, groups)
    right = (likelihoods.argmax(axis=1) == own_column) & (own >= space.likelihoods(texts, space.nowhere)[:, 0])
    teachers = group(whitened[asked & few], np.searchsorted(taught, members[asked & few]), len(taught))
    others = right[:, None] & (own_column[:, None] != taught)
    margins: Embeddings = (space.likelihoods(texts, teachers) - own[:, None])[others]
    return margins
