"""The tier `rules`: the catalogue's patterns, then the lexical classifier. It needs no network and is always there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from models.patterns import PatternSet
from models.prediction import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.catalogue import Catalogue
    from models.prediction import Probabilities

PATTERN_PROBABILITY = 0.99
"""What a matching pattern is worth: its author meant it, and is not always right."""


class Lexical(Model, Protocol):
    """What answers where no pattern matches."""

    @property
    def temperature(self) -> float:
        """What its logits are divided by."""


class RulesModel:
    """Lexical probabilities, overridden where a pattern matches."""

    def __init__(self, catalogue: Catalogue, lexical: Lexical) -> None:
        """Compile the catalogue's patterns."""
        self._lexical = lexical
        owned = [(pattern, column) for column, intent in enumerate(catalogue.intents) for pattern in intent.patterns]
        self._patterns = PatternSet(pattern for pattern, _ in owned)
        self._columns = np.array([column for _, column in owned], np.intp)

    @property
    def temperature(self) -> float:
        """The lexical classifier's."""
        return self._lexical.temperature

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities; where patterns of several intents match, the lexical classifier decides."""
        probabilities = self._lexical.predict(texts)
        if not len(self._columns):
            return probabilities
        for row, text in enumerate(texts):
            if matches := self._patterns.matches(text):
                self._override(probabilities[row], np.unique(self._columns[matches]))
        return probabilities

    @staticmethod
    def _override(row: Probabilities, columns: np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
        """Give the matched columns their share in the proportion the lexical classifier sees between them."""
        shares = row[columns] + 1e-6
        row *= 1 - PATTERN_PROBABILITY
        row[columns] += PATTERN_PROBABILITY * shares / shares.sum()
