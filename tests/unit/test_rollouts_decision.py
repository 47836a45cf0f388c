"""A rollout climbs only on enough evidence, goes back on a breach whatever else is the case, and holds otherwise."""

from __future__ import annotations

import datetime as dt
from itertools import product
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flags.rollouts.decision import MOST_BEHIND_SECONDS, Look, Verdict, decide, look_at
from flags.statistics import guardrail
from flags.statistics.arm import Arm
from flags.statistics.guardrail import Finding
from schemas.events import FlagChange, Guardrail, Rollout

BEGUN = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
SECONDS, UTTERANCES = 60.0, 1_000
ROLLOUT = Rollout(
    steps=(10.0, 50.0, 100.0),
    guardrails=(Guardrail(metric="error_rate"), Guardrail(metric="degraded_rate")),
    entered_at=BEGUN.isoformat(),
    step_seconds=SECONDS,
    step_utterances=UTTERANCES,
)
States = Literal["running", "paused", "finished", "rolled_back", "aborted"]


def flag(state: States = "running") -> FlagChange:
    return FlagChange(
        name="beta",
        enabled=True,
        rollout_percentage=10.0,
        rollout=msgspec.structs.replace(ROLLOUT, state=state),
        revision=1,
        changed_by="tests",
        changed_at=BEGUN.isoformat(),
    )


def finding(verdict: guardrail.Verdict, metric: str = "error_rate") -> Finding:
    return Finding(
        metric=metric,
        verdict=verdict,
        reason=f"it is {verdict}",
        p_value=0.01,
        treated=0.04,
        control=0.02,
        estimate=2.0,
        interval=(1.1, 3.0),
    )


def look(
    *verdicts: guardrail.Verdict,
    treated: int = UTTERANCES,
    control: int = UTTERANCES,
    mismatch: str | None = None,
    behind_seconds: float = 0.0,
) -> Look:
    return Look(
        treated=treated,
        control=control,
        findings=tuple(finding(verdict) for verdict in verdicts),
        mismatch=mismatch,
        behind_seconds=behind_seconds,
    )


def after(seconds: float) -> dt.datetime:
    return BEGUN + dt.timedelta(seconds=seconds)


GOOD = guardrail.Verdict.FINE


def test_it_climbs_once_time_and_traffic_suffice_and_every_guardrail_holds() -> None:
    step = decide(flag(), look(GOOD, GOOD), after(SECONDS))
    assert step.verdict is Verdict.PROMOTE
    assert "error_rate 0.04 with it and 0.02 without" in step.why


def test_every_combination_of_what_may_be_missing() -> None:
    """Exhaustive: only all that is needed promotes, only a breach rolls back, and all else holds."""
    states: tuple[States, ...] = ("running", "paused", "finished", "rolled_back", "aborted")
    found = list(product(guardrail.Verdict, guardrail.Verdict))
    for state, (one, other), enough in product(states, found, product((True, False), repeat=5)):
        long, treated, control, wrong, late = enough
        seen = look(
            one,
            other,
            treated=UTTERANCES if treated else UTTERANCES - 1,
            control=UTTERANCES if control else UTTERANCES - 1,
            mismatch="the sizes are wrong" if wrong else None,
            behind_seconds=MOST_BEHIND_SECONDS + 1 if late else 0.0,
        )
        step = decide(flag(state), seen, after(SECONDS if long else SECONDS - 1))
        if state != "running":
            expected = Verdict.HOLD
        elif guardrail.Verdict.BREACH in (one, other):
            expected = Verdict.ROLLBACK
        elif (one, other) == (GOOD, GOOD) and long and treated and control and not wrong and not late:
            expected = Verdict.PROMOTE
        else:
            expected = Verdict.HOLD
        assert step.verdict is expected, (state, one, other, long, treated, control, wrong, late)
        assert step.why


@given(
    treated=st.integers(0, UTTERANCES - 1),
    control=st.integers(0, 10**9),
    seconds=st.floats(-1e6, 1e9),
    verdict=st.sampled_from([guardrail.Verdict.FINE, guardrail.Verdict.UNDECIDED]),
)
def test_too_little_traffic_on_either_side_neither_promotes_nor_aborts_however_long_it_takes(
    treated: int, control: int, seconds: float, verdict: guardrail.Verdict
) -> None:
    for seen in (
        look(verdict, treated=treated, control=control),
        look(verdict, treated=control, control=treated),
    ):
        assert decide(flag(), seen, after(seconds)).verdict is Verdict.HOLD


def test_a_breach_goes_back_and_says_by_how_much() -> None:
    step = decide(flag(), look(GOOD, guardrail.Verdict.BREACH), after(1))
    assert step.verdict is Verdict.ROLLBACK
    assert step.why == "error_rate 0.04 with it and 0.02 without: it is breach (p 0.01)"


def test_arms_of_the_wrong_size_hold_with_a_warning() -> None:
    step = decide(flag(), look(GOOD, GOOD, mismatch="400 to 600"), after(SECONDS))
    assert (step.verdict, step.warning) == (Verdict.HOLD, "400 to 600")


@pytest.mark.parametrize(
    ("seen", "seconds", "why"),
    [
        (None, SECONDS, "the evidence has not been read yet"),
        (look(GOOD), 10.0, "it has stood here for 10 of 60 s"),
        (look(GOOD, treated=12), SECONDS, "12 of 1,000 utterances of users with it"),
        (look(GOOD, control=999), SECONDS, "999 of 1,000 utterances of users without it"),
        (look(GOOD, behind_seconds=30.0), SECONDS, "the evidence is 30 s behind"),
        (look(GOOD, behind_seconds=float("inf")), SECONDS, "not all evidence has been read yet"),
    ],
)
def test_what_is_missing_is_said(seen: Look | None, seconds: float, why: str) -> None:
    step = decide(flag(), seen, after(seconds))
    assert (step.verdict, step.why) == (Verdict.HOLD, why)


def test_users_in_other_proportions_than_the_percentage_are_noticed() -> None:
    def arm(users: int) -> Arm:
        counted = Arm()
        for user in range(users):
            counted.add(f"user-{users}-{user}", at_seconds=1.0, latency_seconds=0.01)
        return counted

    subject = flag()
    rollout = subject.rollout
    assert rollout is not None
    right = look_at(subject, rollout, arm(200), arm(1_800), behind_seconds=0.0)
    wrong = look_at(subject, rollout, arm(100), arm(1_900), behind_seconds=0.0)
    assert (right.treated, right.control, right.mismatch) == (200, 1_800, None)
    assert wrong.mismatch is not None
    assert "100 users have it and 1,900 have not, which is not 10 %" in wrong.mismatch
