"""Past decisions are decided again as they were, whatever the flags became since; what was not is shown."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from flags.evaluation import Context, Snapshot
from flags.replay import PastDecision, replay
from schemas.events import Condition, FlagChange, Rule, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLD = Rule(conditions=(Condition(attribute="plan", operator="equals", values=("gold",)),), rollout_percentage=50.0)
COLOURS = (Variant(name="red", value="#f00", weight=50.0), Variant(name="blue", value="#00f", weight=50.0))


def change(revision: int, **fields: object) -> FlagChange:
    stamp = {"name": "target", "enabled": True, "revision": revision, "changed_by": "test", "changed_at": "now"}
    return FlagChange(**(stamp | fields))  # type: ignore[arg-type]  # each its own


def decisions_under(history: list[FlagChange], each: int) -> Iterator[PastDecision]:
    """Yield decisions as a worker makes them that follows the changes one by one."""
    dice = random.Random(7)  # noqa: S311 - no secret
    for reached in range(1, len(history) + 1):
        flags = Snapshot(revision=reached, changes={past.name: past for past in history[:reached]})
        for _ in range(each):
            context = Context(
                user_id=f"user-{dice.randrange(1_000)}", attributes={"plan": dice.choice(["gold", "free"])}
            )
            name = dice.choice(flags.names)
            answer = flags.evaluate(name, context)
            yield PastDecision(reached, name, context, answer.value, answer.variant)


HISTORY = [
    change(1, rollout_percentage=25.0),
    change(2, rollout_percentage=25.0, rules=(GOLD,)),
    change(3, name="coloured", variants=COLOURS, off_variant="red"),
    change(4, killed=True),
    change(5, name="quality_mode"),
    change(6, deleted=True),
    change(7, rollout_percentage=60.0, salt="another"),
]


def test_every_decision_comes_out_as_it_was() -> None:
    decisions = list(decisions_under(HISTORY, each=500))
    result = replay(HISTORY, decisions)
    assert (result.decisions, result.identical, result.differences) == (3_500, 3_500, ())


def test_decisions_before_the_first_change_were_the_defaults() -> None:
    past = PastDecision(0, "caching", Context(user_id="ada"), value=True, variant="on")
    assert replay(HISTORY, [past]).identical == 1


def test_a_decision_that_was_another_is_shown_with_what_it_should_have_been() -> None:
    forged = PastDecision(4, "target", Context(user_id="ada"), value=True, variant="on")
    result = replay(HISTORY, [forged])
    assert (result.decisions, result.identical) == (1, 0)
    (difference,) = result.differences
    assert (difference.decision, difference.value, difference.variant) == (forged, False, "off")


def test_a_million_differences_are_not_a_million_lines() -> None:
    forged = PastDecision(4, "target", Context(user_id="ada"), value=True, variant="on")
    result = replay(HISTORY, [forged] * 1_000)
    assert (result.identical, len(result.differences)) == (0, 20)


def test_what_the_environment_said_then_is_said_again() -> None:
    past = PastDecision(5, "caching", Context(user_id="ada"), value=False, variant="off")
    assert replay(HISTORY, [past], overrides={"caching": False}).identical == 1
    assert replay(HISTORY, [past]).identical == 0


def test_decisions_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="revision 1 comes after one of 2"):
        replay(HISTORY, reversed(list(decisions_under(HISTORY[:2], each=1))))


@pytest.mark.parametrize("revision", [8, 3], ids=["after its end", "that is missing"])
def test_a_revision_that_the_history_does_not_have_is_refused(revision: int) -> None:
    past = PastDecision(revision, "caching", Context(), value=True, variant="on")
    history = [past for past in HISTORY if past.revision != 3]
    with pytest.raises(ValueError, match="the history has none"):
        replay(history, [past])


def test_a_changed_rule_in_the_past_would_be_noticed() -> None:
    decisions = list(decisions_under(HISTORY, each=500))
    forged = [*HISTORY]
    forged[1] = msgspec.structs.replace(HISTORY[1], rollout_percentage=5.0)
    assert replay(forged, decisions).identical < len(decisions)
