"""What a catalogue has to say, as texts and classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.text import normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from models.catalogue import Catalogue, Intent

_BETWEEN_WORDS = re.compile(r"[_.\-/]+|(?<=[a-z])(?=[A-Z])")


class Examples(NamedTuple):
    """What a model is trained on."""

    texts: Sequence[str]
    """Normalised."""
    truth: npt.NDArray[np.intp]
    """Shape (texts,): the class of each."""
    classes: int
    """Intents and, whether there are texts for it or not, out-of-scope."""

    def only(self, chosen: npt.NDArray[np.bool_]) -> Examples:
        """Return those that a mask of shape (texts,) chooses."""
        texts = [text for text, keep in zip(self.texts, chosen, strict=True) if keep]
        return Examples(texts, self.truth[chosen], self.classes)


def label_words(intent: Intent) -> str:
    """Return an intent's name as a person would say it."""
    return normalise(_BETWEEN_WORDS.sub(" ", intent.name))


def examples_of(catalogue: Catalogue, *, descriptions: bool = False) -> Examples:
    """Return the catalogue's examples, each intent's name among them, and its out-of-scope texts as the last class.

    Args:
        catalogue: What to learn.
        descriptions: Whether the intents' descriptions are among their examples.
    """
    texts, truth = [], []
    for position, intent in enumerate(catalogue.intents):
        said = [label_words(intent), *map(normalise, intent.examples)]
        if descriptions and intent.description:
            said.append(normalise(intent.description))
        texts += said
        truth += [position] * len(said)
    texts += map(normalise, catalogue.out_of_scope)
    truth += [len(catalogue.intents)] * len(catalogue.out_of_scope)
    return Examples(texts, np.array(truth, np.intp), len(catalogue.intents) + 1)
