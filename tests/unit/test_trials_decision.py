"""Whether a candidate goes on from its shadow: a pure function of what was seen, of the limits and of the time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streams.trials.decision import Act, Limits, decide, tolerated_differences
from streams.trials.evidence import Seen

LIMITS = Limits(texts=300, seconds=600.0, users=1_000, different=0.2, patience_seconds=86_400.0)
HARMLESS = Seen(
    texts=1_000,
    different=40,
    served={"order_status": 600, "refund": 400},
    lost={"order_status": 20, "refund": 20},
    gained={"order_status": 20, "refund": 20},
    right=6,
    wrong=2,
    users=5_000,
)


def outcome(seen: Seen, stood_seconds: float = 700.0, **limits: Any) -> tuple[Act, str]:
    step = decide(seen, LIMITS._replace(**limits), stood_seconds)
    assert step.reason
    return step.act, step.code


def test_one_that_does_no_harm_is_rolled_out_and_the_reason_has_the_numbers() -> None:
    step = decide(HARMLESS, LIMITS, 700.0)
    assert (step.act, step.code) == (Act.ROLL_OUT, "rolled_out")
    assert "1,000 utterances" in step.reason
    assert "40 otherwise (4.0%)" in step.reason
    assert "agree with it on 6 of those and not on 2" in step.reason


def test_without_users_enough_for_a_rollout_it_is_promoted_and_so_it_is_where_there_is_to_be_none() -> None:
    assert outcome(HARMLESS._replace(users=999)) == (Act.PROMOTE, "promoted")
    assert outcome(HARMLESS, users=None) == (Act.PROMOTE, "promoted")


@pytest.mark.parametrize(("texts", "stood"), [(299, 700.0), (1_000, 599.0), (0, 86_399.0)])
def test_too_little_traffic_or_time_waits(texts: int, stood: float) -> None:
    assert outcome(HARMLESS._replace(texts=texts, different=0), stood)[0] is Act.WAIT


def test_too_little_traffic_for_too_long_is_given_up_and_never_promoted() -> None:
    assert outcome(Seen(texts=299), 86_400.0) == (Act.WITHDRAW, "given_up")
    assert outcome(Seen(), 86_400.0, users=None) == (Act.WITHDRAW, "given_up")


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        ({"failed": 40}, "fails"),
        ({"late": 40}, "too_slow"),
        ({"different": 300}, "disagrees"),
        ({"right": 2, "wrong": 30}, "people_disagree"),
        ({"lost": {"refund": 240}, "gained": {"order_status": 240, "refund": 10}, "different": 250}, "disagrees"),
    ],
)
def test_harm_withdraws_it_and_has_a_name(harm: dict[str, Any], code: str) -> None:
    found = outcome(HARMLESS._replace(**harm), 1.0)  # and does not wait for the least time
    assert found == (Act.WITHDRAW, code)


def test_an_intent_that_loses_half_of_what_it_gets_beyond_chance_withdraws_it() -> None:
    seen = HARMLESS._replace(served={"order_status": 950, "refund": 50}, different=40)
    collapsed = seen._replace(lost={"refund": 30}, gained={"order_status": 30})
    assert outcome(collapsed) == (Act.WITHDRAW, "intent_collapses")
    assert outcome(collapsed._replace(lost={"refund": 24}, gained={"order_status": 24}))[0] is Act.ROLL_OUT
    assert outcome(collapsed._replace(gained={"refund": 25, "order_status": 5}))[0] is Act.ROLL_OUT


def test_an_intent_may_lose_what_its_contest_saw_it_lose_and_half_of_what_was_left() -> None:
    fallen = HARMLESS._replace(lost={"refund": 300}, gained={"order_status": 300}, different=300)
    limits: dict[str, Any] = {"different": 0.9, "falls": {"refund": 0.4}}
    assert outcome(fallen, **limits)[0] is Act.ROLL_OUT
    assert outcome(fallen, different=0.9) == (Act.WITHDRAW, "intent_collapses")
    assert outcome(fallen._replace(lost={"refund": 330}, different=330), **limits) == (Act.WITHDRAW, "intent_collapses")


def test_two_texts_of_a_seldom_intent_may_be_chance() -> None:
    seen = HARMLESS._replace(served={"order_status": 998, "refund": 2}, lost={"refund": 2}, gained={"order_status": 2})
    assert outcome(seen)[0] is Act.ROLL_OUT


def test_a_harmless_one_is_seldom_withdrawn_however_often_one_looks() -> None:
    chance = np.random.default_rng(20_261_130)
    withdrawn = 0
    for _ in range(200):
        failed = np.cumsum(chance.random(2_000) < 0.01)
        seen = (Seen(texts=texts, failed=int(failed[texts - 1])) for texts in range(20, 2_001, 20))
        withdrawn += any(decide(each, LIMITS, 1.0).act is Act.WITHDRAW for each in seen)
    assert withdrawn <= 10


def test_so_many_answers_may_differ_as_the_contest_leads_to_expect_and_twice_that() -> None:
    assert tolerated_differences(0.15) == 0.3
    assert tolerated_differences(0.01) == 0.1
    assert tolerated_differences(None) == 0.25
    assert tolerated_differences(0.9) < 1
