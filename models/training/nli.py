"""Calibrates the NLI model on a catalogue's examples, none of which it has learnt."""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING

import numpy as np

from models.text import normalise
from models.training.temperature import fit_temperature

if TYPE_CHECKING:
    from models.catalogue import Catalogue
    from models.nli import NliModel

UNFITTED_TEMPERATURE = 1.0


def fit_nli_temperature(model: NliModel, catalogue: Catalogue, *, most: int) -> float:
    """Return the temperature that examples bear out; 1 where there are none.

    It counts as if one more had been asked about, as clear as the examples are in the middle, and had been the intent
    that is second: a few right answers do not make it certain (after Laplace's rule of succession).

    Args:
        model: What to calibrate.
        catalogue: Its examples.
        most: How many texts are asked about at most, of each intent about as many.
    """
    said = [*(intent.examples for intent in catalogue.intents), catalogue.out_of_scope]
    by_class = [[(normalise(text), column) for text in texts] for column, texts in enumerate(said)]
    in_turn = [each for each in chain.from_iterable(zip_longest(*by_class)) if each is not None][:most]
    if not in_turn:
        return UNFITTED_TEMPERATURE
    texts, truth = zip(*in_turn, strict=True)
    logits = model.logits(texts)
    best_last = np.sort(logits, axis=1)
    usual = logits[np.argsort(best_last[:, -1] - best_last[:, -2])[len(texts) // 2]]
    second = np.argsort(usual)[-2]
    return fit_temperature(np.vstack((logits, usual)), np.append(np.array(truth, np.intp), second))
