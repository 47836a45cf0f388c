"""Evidence is the same in whichever order it is read, and counts only what belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from flags.comparison import Comparison, SeenCorrection, SeenResult, Since
from flags.rollouts.acts import since
from schemas.events import Attempt, FlagChange, Guardrail, Outcome, Result, Rollout, Timings

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    import pytest

SINCE = Since("beta", 7, 0.0)


def result(number: int, variant: str | None = "on", **fields: Any) -> SeenResult:
    """Return what evidence reads of a whole result as it stands on the topic."""
    whole = {
        "id": f"r{number}",
        "utterance_id": f"u{number}",
        "intent": None,
        "confidence": 0.5,
        "tier": "rules",
        "tried": (Attempt(tier="rules", outcome=Outcome.ANSWERED),),
        "strategy": "adaptive",
        "release": "r",
        "exposures": {} if variant is None else {"beta": variant},
        "flags_revision": 7,
        "user_id": f"user-{number}",
        "timings": Timings(queue_seconds=1.0, classify_seconds=0.01),
    }
    return msgspec.json.decode(msgspec.json.encode(Result(**(whole | fields))), type=SeenResult)


def correction(number: int) -> SeenCorrection:
    return SeenCorrection(utterance_id=f"u{number}", person_id="p", intent="x")


def seen(events: Sequence[tuple[SeenResult | SeenCorrection, float]]) -> Comparison:
    comparison = Comparison(SINCE)
    for event, at_seconds in events:
        if isinstance(event, SeenResult):
            comparison.see_result(event, at_seconds)
        else:
            comparison.see_correction(event, at_seconds)
    return comparison


def numbers(comparison: Comparison) -> dict[str, Any]:
    return {
        variant: (
            arm.users,
            arm.utterances,
            arm.rate("error_rate"),
            arm.rate("degraded_rate"),
            arm.rate("correction_rate"),
            arm.by_user.latencies.sum(axis=0).tolist(),
        )
        for variant, arm in comparison.arms.items()
    }


def test_results_are_counted_by_their_users_variant() -> None:
    failed = (Attempt(tier="distilbert", outcome=Outcome.TIMEOUT), Attempt(tier="rules", outcome=Outcome.ANSWERED))
    comparison = seen([(result(1), 1.0), (result(2, tried=failed, degraded=True), 1.0), (result(3, "off"), 1.0)])
    treated, control = comparison.arm("on"), comparison.arm("off")
    assert (treated.utterances, treated.rate("error_rate"), treated.rate("degraded_rate")) == (2, 0.5, 0.5)
    assert (control.utterances, control.rate("error_rate")) == (1, 0.0)


def test_only_what_chance_decided_at_this_step_counts() -> None:
    older = result(1, flags_revision=6)
    unexposed, unknown = result(2, None), result(3, user_id=None)
    another = result(4, exposures={"gamma": "on"})
    assert seen([(each, 1.0) for each in (older, unexposed, unknown, another)]).arms == {}


def test_an_answer_that_people_corrected_counts_once_however_many_did() -> None:
    comparison = seen([(result(1), 1.0), (correction(1), 2.0), (correction(1), 3.0), (correction(9), 3.0)])
    assert comparison.arm("on").rate("correction_rate") == 1.0


def test_memory_for_corrections_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flags.comparison.REMEMBERED", 2)
    comparison = seen(
        [(result(1), 1.0), (result(2), 1.0), (result(3), 1.0), (correction(1), 2.0), (correction(3), 2.0)]
    )
    assert comparison.arm("on").incidents("correction_rate").events.sum() == 1


@given(st.randoms(use_true_random=False))
def test_the_order_of_reading_does_not_matter(chance: random.Random) -> None:
    failed = (Attempt(tier="distilbert", outcome=Outcome.FAILED),)
    events: list[tuple[SeenResult | SeenCorrection, float]] = [
        (result(each, "on" if each % 3 else "off", tried=failed if each % 5 == 0 else ()), float(each))
        for each in range(40)
    ]
    events += [(correction(each), 50.0 + each) for each in range(0, 40, 4)]
    shuffled = chance.sample(events, len(events))
    assert numbers(seen(shuffled)) == numbers(seen(events))


def test_evidence_counts_from_the_record_that_entered_the_step() -> None:
    rollout = Rollout(
        steps=(10.0,),
        guardrails=(Guardrail(metric="error_rate"),),
        entered_at="1970-01-01T00:01:00Z",
        entered_revision=5,
    )
    flag = FlagChange(
        name="beta",
        enabled=True,
        rollout_percentage=10.0,
        rollout=rollout,
        revision=9,
        changed_by="t",
        changed_at="2026-11-23T09:00:00Z",
    )
    assert since(flag) == Since("beta", 5, 60.0)
    own = msgspec.structs.replace(flag, rollout=msgspec.structs.replace(rollout, entered_revision=0))
    assert since(own).revision == 9
