"""Makes the zero-shot tier's head anew from all that was learnt since, and holds it against the one that serves.

Champion and challenger are each trained without a part of the labelled texts and asked about it, part by part, until
each text was asked about once. So what is compared is what either learns, never what it remembers. About corrections
that are new the champion is asked as it serves, for it has never learnt them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.text import normalise
from models.training.contest import LEFT_SHARE, Contest, hold
from models.training.examples import Examples
from models.training.folds import deal
from models.training.self_training import refine
from models.training.zero_shot import make_zero_shot

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.encoder import Encoder
    from models.learning.material import Material
    from models.zero_shot import ZeroShotModel


def relearn(material: Material, encoder: Encoder) -> ZeroShotModel:
    """Return a head that has learnt all of the material; deterministic."""
    model = make_zero_shot(material.taught, encoder)
    return refine(material.taught, model, material.unlabelled)


def _stand_in(material: Material, encoder: Encoder, like: ZeroShotModel) -> ZeroShotModel:
    """Return a head for which only the likeliest intent matters: it takes over what another has fitted.

    Where the examples alone make a head without n-grams, it learns none from traffic either: ten of these are made.
    """
    model = make_zero_shot(material.taught, encoder, like)
    return refine(material.taught, model, material.unlabelled, temperature=1.0, hears_ngrams=like.lexical is not None)


def unlearnt(model: ZeroShotModel, material: Material, encoder: Encoder) -> list[str | None]:
    """Return the intents of which a head has lost half of the very texts that it learnt and a plain one knows.

    Held-out texts of an intent with a few examples are too few to show that it collapsed; those learnt are not.
    """
    examples = labelled(material)
    plain = make_zero_shot(material.taught, encoder)
    knew, knows = (each.predict(examples.texts).argmax(axis=1) == examples.truth for each in (plain, model))
    had, has = (np.bincount(examples.truth, weights=right) for right in (knew, knows & knew))
    labels = (*material.catalogue.labels, None)
    return [labels[column] for column in np.flatnonzero((had > 0) & (has <= LEFT_SHARE * had)).tolist()]


def compete(
    champion: Material, challenger: Material, encoder: Encoder, *, goes_on: Callable[[], bool] = lambda: True
) -> Contest | None:
    """Hold one material against another on the labelled texts of the challenger's.

    Args:
        champion: What the head that serves was made of.
        challenger: What another would be made of: the same catalogue.
        encoder: Of the embeddings.
        goes_on: Asked before each part; once it is false, nobody wants to know any more.

    Returns:
        None where it was given up.
    """
    asked = labelled(challenger)
    learnt = {(lesson.text, lesson.intent) for lesson in champion.lessons}
    fresh = {lesson.text for lesson in challenger.lessons if (lesson.text, lesson.intent) not in learnt}
    new = np.array([text in fresh for text in asked.texts], np.bool_)
    folds = deal(asked.truth)
    answers = np.full((2, len(asked.texts)), -1, np.intp)
    materials = [(material, make_zero_shot(material.taught, encoder)) for material in (champion, challenger)]
    for fold in range(folds.max() + 1):
        out = folds == fold
        part = asked.only(out)
        held_out = set(part.texts)
        for row, (material, like) in enumerate(materials):
            if not goes_on():
                return None
            stand_in = _stand_in(material.without(held_out), encoder, like)
            answers[row, out] = stand_in.predict(part.texts).argmax(axis=1)
    if new.any():
        answers[0, new] = relearn(champion, encoder).predict(asked.only(new).texts).argmax(axis=1)
    dealt = folds >= 0
    labels = (*challenger.catalogue.labels, None)
    return hold(answers[0, dealt], answers[1, dealt], asked.truth[dealt], new[dealt], labels=labels)


def labelled(material: Material) -> Examples:
    """Return every text that has a label, once."""
    catalogue = material.taught
    columns: dict[str, int] = {}
    for column, texts in enumerate((*(intent.examples for intent in catalogue.intents), catalogue.out_of_scope)):
        columns |= dict.fromkeys(map(normalise, texts), column)
    return Examples(list(columns), np.array(list(columns.values()), np.intp), len(catalogue.intents) + 1)
