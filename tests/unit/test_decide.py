"""The flags say for each user which way to go; each way is gone once a batch."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import msgspec
from structlog.testing import capture_logs

from flags.evaluation import Snapshot
from models.answer import Answer
from models.learning.recollection import Recollection
from models.serving import Serving
from schemas.cloudevents import Received
from schemas.events import Attempt, Condition, FlagChange, Guardrail, Outcome, Rollout, Rule, Utterance
from schemas.strategies import Strategy
from streams.brown_out import BrownOut
from streams.decide import FlaggedClassifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.router import Route


class Echo:
    """A classifier whose intent is the text."""

    release = "r1"

    def review_below(self, _: Route) -> float | None:
        return None

    def __init__(self) -> None:
        self.calls: list[tuple[Strategy, tuple[str, ...], bool]] = []

    async def classify(self, texts: Sequence[str], route: Route, *, caching: bool) -> list[Answer]:
        self.calls.append((route.strategy, tuple(texts), caching))
        return [Answer(intent=text, confidence=1.0, tier="rules") for text in texts]


class Secretive(Echo):
    """A classifier whose intent says nothing of the text."""

    async def classify(self, texts: Sequence[str], route: Route, *, caching: bool) -> list[Answer]:
        return [
            msgspec.structs.replace(each, intent="change_pin")
            for each in await super().classify(texts, route, caching=caching)
        ]


class ByUser(Snapshot):
    """Flags where one user is singled out for performance mode."""

    def enabled(
        self, name: str, user_id: str | None = None, attributes: Mapping[str, object] = MappingProxyType({})
    ) -> bool:
        return user_id == "hasty" if name == "performance_mode" else super().enabled(name, user_id, attributes)


class Counts(dict[tuple[str, str], int]):
    """Counts evaluations."""

    def flag_evaluated(self, flag: str, variant: str, utterances: int) -> None:
        self[flag, variant] = self.get((flag, variant), 0) + utterances

    def unexpected(self, guard: str) -> None:
        self["unexpected", guard] = self.get(("unexpected", guard), 0) + 1


def said(text: str, user: str | None) -> Received:
    return Received(Utterance(text=text, id=text, user_id=user))


async def test_each_user_goes_the_way_that_the_flags_say_and_the_order_is_kept() -> None:
    classifier, counts = Echo(), Counts()
    decider = FlaggedClassifier(Serving(cast("Any", classifier)), lambda: ByUser(revision=7), counts)
    decisions = await decider.decide([said("a", "calm"), said("b", "hasty"), said("c", None), said("d", "hasty")])
    assert [(decision.answer.intent, decision.strategy) for decision in decisions] == [
        ("a", "adaptive"),
        ("b", "performance"),
        ("c", "adaptive"),
        ("d", "performance"),
    ]
    assert classifier.calls == [(Strategy.ADAPTIVE, ("a", "c"), True), (Strategy.PERFORMANCE, ("b", "d"), True)]
    assert {(decision.release, decision.flags_revision) for decision in decisions} == {("r1", 7)}
    assert (counts["performance_mode", "on"], counts["performance_mode", "off"]) == (2, 2)


async def test_a_batch_sees_one_state_of_the_flags() -> None:
    states = iter([Snapshot({"quality_mode": True}, revision=1), Snapshot(revision=2)])
    decider = FlaggedClassifier(Serving(cast("Any", Echo())), lambda: next(states), Counts())
    first = await decider.decide([said(text, text) for text in "abc"])
    second = await decider.decide([said("d", None)])
    assert {(decision.strategy, decision.flags_revision) for decision in first} == {("quality", 1)}
    assert [(decision.strategy, decision.flags_revision) for decision in second] == [("adaptive", 2)]


def under_rollout(percentage: float, **fields: Any) -> Snapshot:
    rollout = Rollout(
        steps=(25.0, 100.0), guardrails=(Guardrail(metric="error_rate"),), entered_at="2026-11-23T09:00:00Z"
    )
    change = FlagChange(
        name="beta",
        enabled=True,
        rollout_percentage=percentage,
        rollout=rollout,
        revision=1,
        changed_by="tests",
        changed_at="2026-11-23T09:00:00Z",
        **fields,
    )
    return Snapshot(revision=1, changes={"beta": change})


async def exposures(flags: Snapshot, utterances: Sequence[Received]) -> list[dict[str, str]]:
    decider = FlaggedClassifier(Serving(cast("Any", Echo())), lambda: flags)
    return [dict(decision.exposures) for decision in await decider.decide(utterances)]


async def test_a_result_says_on_which_side_of_a_rollout_chance_put_its_user() -> None:
    flags = under_rollout(25.0)
    users = [f"user-{number}" for number in range(200)]
    found = await exposures(flags, [said("a", user) for user in users])
    assert found == [{"beta": "on" if flags.enabled("beta", user) else "off"} for user in users]
    assert {exposure["beta"] for exposure in found} == {"on", "off"}


async def test_who_has_a_flag_or_not_for_another_reason_than_chance_is_not_compared() -> None:
    mine = Rule(conditions=(Condition(attribute="plan", operator="equals", values=("gold",)),))
    gold = Received(Utterance(text="a", id="1", user_id="ada", attributes={"plan": "gold"}))
    plain = Received(Utterance(text="a", id="2", user_id="ada"))
    nobody = said("a", None)
    flags = under_rollout(25.0, rules=(mine,))
    by_rule, by_chance, without_user = await exposures(flags, [gold, plain, nobody])
    assert by_rule == without_user == {}
    assert set(by_chance) == {"beta"}
    assert await exposures(under_rollout(100.0), [plain]) == [{}]
    assert await exposures(Snapshot(), [plain]) == [{}]


async def test_those_the_flags_can_tell_apart_are_told_apart_within_a_batch() -> None:
    mine = Rule(conditions=(Condition(attribute="plan", operator="equals", values=("gold",)),))
    change = FlagChange(
        name="quality_mode",
        enabled=True,
        rollout_percentage=0.0,
        rules=(mine,),
        revision=1,
        changed_by="tests",
        changed_at="2026-11-23T09:00:00Z",
    )
    decider = FlaggedClassifier(
        Serving(cast("Any", Echo())), lambda: Snapshot(revision=1, changes={"quality_mode": change}), Counts()
    )
    plans = [{"plan": "gold"}, {}, {"plan": "gold"}, {"plan": "tin"}]
    said_by_ada = [Received(Utterance(text="a", id="1", user_id="ada", attributes=plan)) for plan in plans]
    decisions = await decider.decide(said_by_ada)
    assert [decision.strategy for decision in decisions] == ["quality", "adaptive", "quality", "adaptive"]


async def test_a_slow_way_is_not_laid_at_the_door_of_those_who_went_another() -> None:
    class Slow(Echo):
        async def classify(self, texts: Sequence[str], route: Route, *, caching: bool) -> list[Answer]:
            await asyncio.sleep(0.05 if route.strategy is Strategy.PERFORMANCE else 0)
            return await super().classify(texts, route, caching=caching)

    decider = FlaggedClassifier(Serving(cast("Any", Slow())), ByUser)
    hasty, calm = await decider.decide([said("a", "hasty"), said("b", "calm")])
    assert hasty.classify_seconds >= 0.05 > calm.classify_seconds
    assert calm.waited_seconds >= 0.05 > hasty.waited_seconds


class Careful(Echo):
    """A classifier that asks the next tier where it may, and says so."""

    async def classify(self, texts: Sequence[str], route: Route, *, caching: bool) -> list[Answer]:
        del caching
        tiers = route.order[:2] if route.escalate else route.order[:1]
        tried = tuple(Attempt(tier=tier, outcome=Outcome.ANSWERED) for tier in tiers)
        return [Answer(intent=text, confidence=0.4, tier=tiers[-1], tried=tried) for text in texts]


class Shown:
    """An observer that notes when brown-outs began and ended."""

    def __init__(self) -> None:
        self.states: list[bool] = []
        self.ended = asyncio.Event()

    def browned_out(self, *, active: bool) -> None:
        self.states.append(active)
        if not active:
            self.ended.set()


async def test_while_utterances_wait_adaptive_routing_lets_the_rules_stand_and_says_so() -> None:
    shown = Shown()
    brown_out = BrownOut(2.0, shown)
    decider = FlaggedClassifier(Serving(cast("Any", Careful())), Snapshot, brown_out=brown_out)
    tiers, reasons = [], []
    for waited in (0.1, 2.1, 1.0, 0.4):
        brown_out.waited(waited)
        [decision] = await decider.decide([said("a", None)])
        tiers.append(decision.answer.tier)
        reasons.append(decision.answer.tried[-1].reason or "")
    assert tiers == ["zero_shot", "rules", "rules", "zero_shot"]
    assert ["brown-out" in reason for reason in reasons] == [False, True, True, False]
    assert shown.states == [True, False]


async def test_a_brown_out_spares_nobody_who_asked_for_quality() -> None:
    brown_out = BrownOut(1.0)
    brown_out.waited(60.0)
    decider = FlaggedClassifier(
        Serving(cast("Any", Careful())), lambda: Snapshot({"quality_mode": True}), brown_out=brown_out
    )
    [decision] = await decider.decide([said("a", None)])
    assert len(decision.answer.tried) == 2


async def test_a_brown_out_ends_when_nothing_comes_any_more() -> None:
    shown = Shown()
    brown_out = BrownOut(0.05, shown)
    brown_out.waited(60.0)
    assert brown_out.active
    await asyncio.wait_for(shown.ended.wait(), 30)
    assert not brown_out.active
    assert shown.states == [True, False]


def test_without_a_limit_there_is_no_brown_out() -> None:
    brown_out = BrownOut(0.0)
    brown_out.waited(1e9)
    assert not brown_out.active


async def test_where_routing_fails_everyone_goes_the_standard_way() -> None:
    class Broken(Snapshot):
        def enabled(self, *_: object) -> bool:
            raise RuntimeError

    counts = Counts()
    decider = FlaggedClassifier(Serving(cast("Any", Echo())), Broken, counts)
    decisions = await decider.decide([said("a", None), said("b", "ada")])
    assert [(each.answer.intent, each.strategy) for each in decisions] == [("a", "standard"), ("b", "standard")]
    assert counts == {("unexpected", "routing"): 1}


async def test_how_an_answer_came_about_is_logged_for_whom_the_flag_is_on_and_never_the_text() -> None:
    for_ada = Rule(conditions=(Condition(attribute="user_id", operator="equals", values=("ada",)),))
    flag = FlagChange(
        name="enhanced_logging",
        enabled=True,
        rollout_percentage=0.0,
        rules=(for_ada,),
        revision=3,
        changed_by="t",
        changed_at="t",
    )
    flags = Snapshot(revision=3, changes={flag.name: flag})
    decider = FlaggedClassifier(Serving(cast("Any", Secretive())), lambda: flags)
    secret = Received(Utterance(text="my pin is 7231", id="u-1", user_id="ada"))
    with capture_logs() as lines:
        await decider.decide([secret, said("so is mine", "bob")])
    (line,) = [line for line in lines if line["event"] == "utterance_decided"]
    assert line["utterance_id"] == "u-1"
    assert (line["tier"], line["intent"], line["flags_revision"]) == ("rules", "change_pin", 3)
    assert line["text_characters"] == len("my pin is 7231")
    assert "7231" not in str(lines)


class Corrected:
    """A corrector that knows one text."""

    def __init__(self, text: str) -> None:
        self.current = Recollection({}, 41)
        self._text = text
        self.near: list[bool] = []

    async def answers(self, _: Recollection, texts: Sequence[str], *, near: bool) -> dict[int, Answer]:
        self.near.append(near)
        answer = Answer(intent="corrected", confidence=1.0, tier="corrections", lesson=40)
        return {row: answer for row, text in enumerate(texts) if text == self._text}


async def corrected_by(flags: Snapshot, corrector: Corrected, *utterances: Received) -> list[tuple[str | None, int]]:
    serving = Serving(cast("Any", Echo()))
    decider = FlaggedClassifier(serving, lambda: flags, corrector=cast("Any", corrector))
    decisions = await decider.decide(utterances)
    return [(decision.answer.intent, decision.corrections_revision) for decision in decisions]


async def test_feedback_learning_says_who_is_answered_as_people_corrected() -> None:
    utterances = [said("a", "ada"), said("b", "ada")]
    on = await corrected_by(Snapshot({"feedback_learning": True}), Corrected("b"), *utterances)
    assert on == [("a", 41), ("corrected", 41)]
    off = await corrected_by(Snapshot({"feedback_learning": False}), Corrected("b"), *utterances)
    assert off == [("a", 0), ("b", 0)]


async def test_who_wants_speed_is_spared_the_search_for_what_is_near() -> None:
    corrector = Corrected("b")
    await corrected_by(Snapshot({"performance_mode": True}), corrector, said("a", None))
    await corrected_by(Snapshot(), corrector, said("a", None))
    assert corrector.near == [False, True]
