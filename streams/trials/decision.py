"""Whether a release goes on from its shadow: a pure function of what was seen, of the limits and of the time.

Harm is looked for at every look, with tests that may be looked at so (e-values; `flags.statistics.coin`): a candidate
that does none is withdrawn with a probability of `_ALPHA` at most. What is seen of it in the shadow is no proof that it
is better; that is what the contest was for, and what the users say in its rollout.
"""

from __future__ import annotations

import enum
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from flags.statistics import coin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.trials.evidence import Seen

_ALPHA = 0.05
_CHECKS = 5
_TOLERATED_FAILURES = 0.01
"""Of the utterances: more may not fail, or come too late, with the candidate alone."""
_COLLAPSED_SHARE = 0.5
"""An intent has collapsed that gets no more than this share of what it gets now, or of what the contest saw it keep."""
_ALWAYS_TOLERATED = 0.1
_TOLERATED_UNFORESEEN = 0.25
"""Answers that may differ where nobody has foreseen how many would."""
_FAR_BEYOND = 2.0


class Act(enum.StrEnum):
    """What is to be done with a candidate."""

    WAIT = "wait"
    ROLL_OUT = "roll_out"
    PROMOTE = "promote"
    WITHDRAW = "withdraw"


class Limits(NamedTuple):
    """What is asked of a shadow.

    Attributes:
        texts: The least utterances.
        seconds: The least time.
        users: With fewer, a rollout would show nothing; None: there is to be none.
        different: The share of the answers that may differ (`tolerated_differences`).
        falls: Of each intent that its contest saw get much less, which share it saw left.
        patience_seconds: The most time.
    """

    texts: int
    seconds: float
    users: int | None
    different: float
    patience_seconds: float
    falls: Mapping[str, float] = MappingProxyType({})


class Step(NamedTuple):
    """What to do, and why: as a word for `TrialVerdict.code`, and for a person."""

    act: Act
    code: str
    reason: str


def tolerated_differences(foreseen: float | None) -> float:
    """Return which share of the answers may differ.

    Args:
        foreseen: On which share of the held-out texts its contest saw the two differ; None: there was none.
    """
    return _TOLERATED_UNFORESEEN if foreseen is None else min(0.99, max(_ALWAYS_TOLERATED, _FAR_BEYOND * foreseen))


def decide(seen: Seen, limits: Limits, stood_seconds: float) -> Step:
    """Return what to do with a candidate in its shadow.

    Args:
        seen: Since its trial began.
        limits: That it is held against.
        stood_seconds: How long ago that was.
    """
    harm = next(_harms(seen, limits), None)
    if harm is not None:
        return harm
    short = _what_is_short(seen, limits, stood_seconds)
    if short is not None and stood_seconds >= limits.patience_seconds:
        return Step(Act.WITHDRAW, "given_up", f"After {stood_seconds:,.0f} s {short}.")
    if short is not None:
        return Step(Act.WAIT, "", f"So far {short}.")
    found = (
        f"Of {seen.texts:,} utterances it answers {seen.different:,} otherwise ({seen.different / seen.texts:.1%}), "
        f"people agree with it on {seen.right} of those and not on {seen.wrong}, its confidence is "
        f"{seen.confidence:.2f} instead of {seen.served_confidence:.2f}, and nothing speaks against it"
    )
    if limits.users is None:
        return Step(Act.PROMOTE, "promoted", f"{found}.")
    if seen.users < limits.users:
        few = f"{seen.users:,} users are too few for a rollout to show anything"
        return Step(Act.PROMOTE, "promoted", f"{found}; {few}.")
    return Step(Act.ROLL_OUT, "rolled_out", f"{found}.")


def _harms(seen: Seen, limits: Limits) -> Iterator[Step]:
    if _is_more(seen.failed, seen.texts - seen.failed, _TOLERATED_FAILURES):
        yield _withdraw("fails", f"a tier of its fails at {seen.failed:,} of {seen.texts:,} utterances")
    if _is_more(seen.late, seen.texts - seen.late, _TOLERATED_FAILURES):
        yield _withdraw("too_slow", f"a tier of its runs out of time at {seen.late:,} of {seen.texts:,} utterances")
    if _is_more(seen.different, seen.texts - seen.different, limits.different):
        yield _withdraw(
            "disagrees",
            f"it answers {seen.different:,} of {seen.texts:,} utterances otherwise; {limits.different:.0%} might be",
        )
    if _is_more(seen.wrong, seen.right, 0.5):
        yield _withdraw(
            "people_disagree",
            f"of the answers that differ, people agree with {seen.right} of its and {seen.wrong} of those given",
        )
    for intent, served in seen.served.items():
        lost, gained = seen.lost.get(intent, 0), seen.gained.get(intent, 0)
        left = served - lost + gained
        if left <= _COLLAPSED_SHARE * limits.falls.get(intent, 1.0) * served and _is_more(
            lost, gained, 0.5, among=len(seen.served)
        ):
            name = intent or "out of scope"
            yield _withdraw("intent_collapses", f"{name} would get {left:,} utterances instead of {served:,}")


def _is_more(heads: int, tails: int, bias: float, *, among: int = 1) -> bool:
    """Return whether heads come more often than a bias, beyond chance, however often one looks and at how many."""
    return float(coin.log_e_more(heads, tails, bias)) >= math.log(_CHECKS * among / _ALPHA)


def _withdraw(code: str, what: str) -> Step:
    return Step(Act.WITHDRAW, code, f"Beyond chance, {what}.")


def _what_is_short(seen: Seen, limits: Limits, stood_seconds: float) -> str | None:
    if seen.texts < limits.texts:
        return f"it was asked about {seen.texts:,} of {limits.texts:,} utterances"
    if stood_seconds < limits.seconds:
        return f"it was asked for {stood_seconds:,.0f} of {limits.seconds:,.0f} s"
    return None
