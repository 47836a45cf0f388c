"""Makes the zero-shot tier's head anew from all that was learnt since, and holds it against the one that serves.

Champion and challenger are each trained without a part of the labelled texts and asked about it, part by part, until
each text was asked about once. So what is compared is what either learns, never what it remembers. About corrections
that are new the champion is asked as it serves, for it has never learnt them. They are mostly about what it got wrong,
and any other head would seem better on them; so on all other texts, which were not chosen for that, the challenger must
not be worse.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import binomtest

from models.text import normalise
from models.training.examples import Examples
from models.training.folds import deal
from models.training.self_training import refine
from models.training.zero_shot import make_zero_shot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from models.encoder import Encoder
    from models.learning.material import Material
    from models.zero_shot import ZeroShotModel

_LEVEL = 0.05
"""How unlikely chance must be: for a challenger to be better, to be worse on what is not new, or to lose an intent; the
latter over all intents together."""

_MUCH_FEWER = 0.75

_LEFT_SHARE = 0.5
"""An intent has collapsed where no more than this share is left of what was right."""


class Contest(NamedTuple):
    """What came of a champion and a challenger on held-out texts.

    Attributes:
        code: `better`; `forgotten`: without a contest, as the champion knows what is to be forgotten; or why the
            challenger is not promoted: `no_better`, `worse_elsewhere`, `intent_collapses`.
        reason: The same for a person.
        texts: How many both were asked about.
        champion: How many of them the champion had right.
        challenger: Likewise.
        p_value: How likely as good a challenger is by chance, if both are as good.
        different: How many of the texts the two answered otherwise.
        falls: Of each intent (the empty one: out of scope) that the challenger gives much fewer texts than the champion
            does, which share of those.
    """

    code: str
    reason: str
    texts: int
    champion: int
    challenger: int
    p_value: float
    different: int = 0
    falls: Mapping[str, float] = MappingProxyType({})

    @property
    def promoted(self) -> bool:
        """Return whether the challenger is to serve."""
        return self.code == "better"


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
    examples = _labelled(material)
    plain = make_zero_shot(material.taught, encoder)
    knew, knows = (each.predict(examples.texts).argmax(axis=1) == examples.truth for each in (plain, model))
    had, has = (np.bincount(examples.truth, weights=right) for right in (knew, knows & knew))
    labels = (*material.catalogue.labels, None)
    return [labels[column] for column in np.flatnonzero((had > 0) & (has <= _LEFT_SHARE * had)).tolist()]


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
    asked = _labelled(challenger)
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
    right = answers == asked.truth
    contest = judge(right[0, dealt], right[1, dealt], asked.truth[dealt], new[dealt])
    labels = [*challenger.catalogue.labels, ""]
    return contest._replace(
        different=int((answers[0] != answers[1])[dealt].sum()), falls=_falls(*answers[:, dealt], labels=labels)
    )


def _falls(
    champion: npt.NDArray[np.intp], challenger: npt.NDArray[np.intp], *, labels: Sequence[str]
) -> dict[str, float]:
    """Return which share is left of the texts that each intent got, of those with much fewer."""
    had, has = (np.bincount(given, minlength=len(labels)) for given in (champion, challenger))
    return {
        label: round(float(after / before), 3)
        for label, before, after in zip(labels, had, has, strict=True)
        if before and after <= _MUCH_FEWER * before
    }


def judge(
    champion: npt.NDArray[np.bool_],
    challenger: npt.NDArray[np.bool_],
    truth: npt.NDArray[np.intp],
    new: npt.NDArray[np.bool_],
) -> Contest:
    """Say whether a challenger is better by more than chance.

    Args:
        champion: Shape (texts,): which it had right.
        challenger: Likewise.
        truth: Shape (texts,): the intent of each.
        new: Shape (texts,): which are corrections that the champion has not learnt.
    """
    p_value = exceeds_by_chance(challenger & ~champion, champion & ~challenger)
    worse = exceeds_by_chance((champion & ~challenger)[~new], (challenger & ~champion)[~new])
    intents = np.unique(truth)
    level = _LEVEL / len(intents)  # Bonferroni's: of many intents some lose a few texts by chance
    collapsed = sum(_collapses(champion[truth == intent], challenger[truth == intent], level) for intent in intents)
    code = "better"
    if collapsed:
        code, reason = "intent_collapses", f"{collapsed} intents lose half of their texts or more"
    elif worse <= _LEVEL:
        code, reason = "worse_elsewhere", f"it is worse on those that the champion knows (p = {worse:.3g})"
    elif p_value > _LEVEL:
        code, reason = "no_better", f"that may be chance (p = {p_value:.3g})"
    else:
        reason = f"by chance that is unlikely (p = {p_value:.2g})"
    before, after = int(champion.sum()), int(challenger.sum())
    counted = (
        f"{after} instead of {before} of {len(truth)} held-out texts right, {int(new.sum())} of them new corrections"
    )
    return Contest(code, f"{counted}: {reason}.", len(truth), before, after, p_value)


def _collapses(champion: npt.NDArray[np.bool_], challenger: npt.NDArray[np.bool_], level: float) -> bool:
    left = challenger.sum() <= _LEFT_SHARE * champion.sum()
    return bool(left and exceeds_by_chance(champion & ~challenger, challenger & ~champion) <= level)


def exceeds_by_chance(wins: npt.NDArray[np.bool_], losses: npt.NDArray[np.bool_]) -> float:
    """Return how likely at least so many wins are among wins and losses if both are as likely.

    The exact one-sided test of paired answers (McNemar 1947, doi 10.1007/BF02295996, in its binomial form).
    """
    decided = int(wins.sum() + losses.sum())
    return float(binomtest(int(wins.sum()), decided, 0.5, alternative="greater").pvalue) if decided else 1.0


def _labelled(material: Material) -> Examples:
    """Return every text that has a label, once."""
    catalogue = material.taught
    columns: dict[str, int] = {}
    for column, texts in enumerate((*(intent.examples for intent in catalogue.intents), catalogue.out_of_scope)):
        columns |= dict.fromkeys(map(normalise, texts), column)
    return Examples(list(columns), np.array(list(columns.values()), np.intp), len(catalogue.intents) + 1)
