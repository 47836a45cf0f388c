"""The tier `rules`: the catalogue's patterns, then the lexical classifier. It needs no network and is always there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.patterns import PatternSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.catalogue import Catalogue
    from models.prediction import Model, Probabilities

PATTERN_PROBABILITY = 0.99
"""What a matching pattern is worth: its author meant it, and is not always right."""


class RulesModel:
    """Lexical probabilities, overridden where a pattern matches."""

    def __init__(self, catalogue: Catalogue, lexical: Model) -> None:
        """Compile the catalogue's patterns."""
        self._lexical = lexical
        owned = [(pattern, column) for column, intent in enumerate(catalogue.intents) for pattern in intent.patterns]
        self._patterns = PatternSet(pattern for pattern, _ in owned)
        self._columns = np.array([column for _, column in owned], np.intp)

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
