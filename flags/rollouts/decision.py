"""Whether a flag climbs on, waits or goes back: a pure function of its state, of what was seen, and of the time.

A wrong ROLLBACK of a rollout that does no harm has a probability of `Rollout.alpha` at most, over all of its steps and
guardrails together and however often one looks: each guardrail at each step that compares anybody has an equal share
of it. PROMOTE is no proof that there is no harm; it says that harm that matters would have shown by now.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
from typing import TYPE_CHECKING

import msgspec

from flags.rollouts.acts import EVERYONE
from flags.statistics import guardrail, sample_ratio
from flags.statistics.guardrail import Finding, judge, split_alpha

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flags.statistics.arm import Arm
    from schemas.events import FlagChange, Rollout

MOST_BEHIND_SECONDS = 5.0
"""Evidence that is older says nothing about now: what has happened since may be the breach."""


class Verdict(enum.StrEnum):
    """What is to be done with a rollout."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLLBACK = "rollback"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What has been seen since a flag came to its step.

    Attributes:
        treated: Utterances of those who have the flag.
        control: Utterances of those who have not.
        findings: One a guardrail.
        mismatch: Why the two do not have the sizes that chance gives them, if they have not.
        behind_seconds: How old the newest evidence may be without our knowing of newer; infinite: nothing was read.
    """

    treated: int
    control: int
    findings: tuple[Finding, ...]
    mismatch: str | None = None
    behind_seconds: float


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What to do next, and why, with the numbers.

    Attributes:
        warning: What a person should look into.
    """

    verdict: Verdict
    why: str
    warning: str | None = None


def look_at(flag: FlagChange, rollout: Rollout, treated: Arm, control: Arm, *, behind_seconds: float) -> Look:
    """Judge each guardrail by what two arms have seen.

    Args:
        flag: Whose percentage chance goes by.
        rollout: Its rollout, under way.
        treated: Those who have the flag, since it came to its step.
        control: Those who have not, in the same time.
        behind_seconds: As in `Look`.
    """
    alpha = split_alpha(rollout.alpha, guardrails=len(rollout.guardrails), steps=_comparing_steps(rollout))
    findings = tuple(
        judge(
            each.metric,
            treated,
            control,
            allocation=flag.rollout_percentage / EVERYONE,
            tolerated_ratio=each.tolerated_ratio,
            alpha=alpha,
        )
        for each in rollout.guardrails
    )
    return Look(
        treated=treated.utterances,
        control=control.utterances,
        findings=findings,
        mismatch=_mismatch(flag.rollout_percentage, treated.users, control.users),
        behind_seconds=behind_seconds,
    )


def decide(flag: FlagChange, look: Look | None, now: dt.datetime) -> Step:
    """Return what to do with a flag's rollout.

    A breach counts before all else, be the evidence late or of a wrong size: to go back is the safe side.

    Args:
        flag: As the log has it.
        look: What has been seen; None: nothing has been read.
        now: With its zone.
    """
    rollout = flag.rollout
    if rollout is None or rollout.state != "running":
        return _hold("there is no rollout" if rollout is None else f"the rollout is {rollout.state}")
    if look is None:
        return _hold("the evidence has not been read yet")
    breaches = [each for each in look.findings if each.verdict is guardrail.Verdict.BREACH]
    if breaches:
        return Step(verdict=Verdict.ROLLBACK, why=_say(breaches))
    if look.mismatch is not None:
        return Step(verdict=Verdict.HOLD, why=look.mismatch, warning=look.mismatch)
    missing = _missing(rollout, look, now)
    if missing is not None:
        return _hold(missing)
    return Step(verdict=Verdict.PROMOTE, why=_say(look.findings))


def _missing(rollout: Rollout, look: Look, now: dt.datetime) -> str | None:
    """Return what there is too little of to go on, if anything."""
    if math.isinf(look.behind_seconds):
        return "not all evidence has been read yet"
    if look.behind_seconds > MOST_BEHIND_SECONDS:
        return f"the evidence is {look.behind_seconds:.0f} s behind"
    stood = (now - dt.datetime.fromisoformat(rollout.entered_at)).total_seconds()
    if stood < rollout.step_seconds:
        return f"it has stood here for {max(0.0, stood):.0f} of {rollout.step_seconds:g} s"
    for who, utterances in (("with", look.treated), ("without", look.control)):
        if utterances < rollout.step_utterances:
            return f"{utterances:,} of {rollout.step_utterances:,} utterances of users {who} it"
    return _say([each for each in look.findings if each.verdict is not guardrail.Verdict.FINE]) or None


def _say(findings: Iterable[Finding]) -> str:
    return "; ".join(
        f"{each.metric} {each.treated:.4g} with it and {each.control:.4g} without: {each.reason} (p {each.p_value:.2g})"
        for each in findings
    )


def _mismatch(percentage: float, treated_users: int, control_users: int) -> str | None:
    """Return why the arms cannot be the ones that chance made, if they cannot."""
    users = (treated_users, control_users)
    if not 0 < percentage < EVERYONE or not any(users):
        return None
    p_value = sample_ratio.p_value(users, (percentage, EVERYONE - percentage))
    if p_value >= sample_ratio.ALPHA:
        return None
    return (
        f"{treated_users:,} users have it and {control_users:,} have not, which is not {percentage:g} % "
        f"(p {p_value:.2g}): results of one side are missing, or chance does not decide"
    )


def _hold(why: str) -> Step:
    return Step(verdict=Verdict.HOLD, why=why)


def _comparing_steps(rollout: Rollout) -> int:
    """Return at how many of the steps there is somebody on either side; a dry run stands at one of its own."""
    return 1 if rollout.dry_run else max(1, sum(percentage < EVERYONE for percentage in rollout.steps))
