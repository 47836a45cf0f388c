"""Says whether a challenger is better than the champion by more than chance, of texts that neither has learnt.

Corrections that are new to the champion are mostly about what it got wrong, and any other would seem better on them; so
on all other texts, which were not chosen for that, the challenger must not be worse.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads it from here
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import binomtest

from models.release import DISAGREEMENT, FALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_LEVEL = 0.05
"""How unlikely chance must be: for a challenger to be better, to be worse on what is not new, or to lose an intent; the
latter over all intents together."""

_MUCH_FEWER = 0.75

LEFT_SHARE = 0.5
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

    @property
    def metrics(self) -> dict[str, float]:
        """Return what the release of the challenger is to say of it; where nothing was asked, nothing."""
        if not self.texts:
            return {}
        return {
            "test_held_out_accuracy": self.challenger / self.texts,
            "champion_held_out_accuracy": self.champion / self.texts,
            "p_value": self.p_value,
            DISAGREEMENT: self.different / self.texts,
            **{f"{FALL}{intent}": left for intent, left in self.falls.items()},
        }


def hold(
    champion: npt.NDArray[np.intp],
    challenger: npt.NDArray[np.intp],
    truth: npt.NDArray[np.intp],
    new: npt.NDArray[np.bool_],
    *,
    labels: Sequence[str | None],
) -> Contest:
    """Hold what a challenger answers against what the champion does.

    Args:
        champion: Shape (texts,): the column that it gave each.
        challenger: Likewise.
        truth: Shape (texts,): the column of each one's intent.
        new: Shape (texts,): which are corrections that the champion has not learnt.
        labels: What the columns stand for; None is out of scope.
    """
    contest = judge(champion == truth, challenger == truth, truth, new)
    different = int((champion != challenger).sum())
    return contest._replace(different=different, falls=_falls(champion, challenger, labels=labels))


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
    left = challenger.sum() <= LEFT_SHARE * champion.sum()
    return bool(left and exceeds_by_chance(champion & ~challenger, challenger & ~champion) <= level)


def exceeds_by_chance(wins: npt.NDArray[np.bool_], losses: npt.NDArray[np.bool_]) -> float:
    """Return how likely at least so many wins are among wins and losses if both are as likely.

    The exact one-sided test of paired answers (McNemar 1947, doi 10.1007/BF02295996, in its binomial form).
    """
    decided = int(wins.sum() + losses.sum())
    return float(binomtest(int(wins.sum()), decided, 0.5, alternative="greater").pvalue) if decided else 1.0


def _falls(
    champion: npt.NDArray[np.intp], challenger: npt.NDArray[np.intp], *, labels: Sequence[str | None]
) -> dict[str, float]:
    """Return which share is left of the texts that each intent got, of those with much fewer."""
    had, has = (np.bincount(given, minlength=len(labels)) for given in (champion, challenger))
    return {
        label or "": round(float(after / before), 3)
        for label, before, after in zip(labels, had, has, strict=True)
        if before and after <= _MUCH_FEWER * before
    }
