"""The flags say for each user which way to go; each way is gone once a batch."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from flags.evaluation import Snapshot
from models.answer import Answer
from models.router import Strategy
from schemas.cloudevents import Received
from schemas.events import Utterance
from streams.decide import FlaggedClassifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.router import Route


class Echo:
    """A classifier whose intent is the text."""

    release = "r1"

    def __init__(self) -> None:
        self.calls: list[tuple[Strategy, tuple[str, ...], bool]] = []

    async def classify(self, texts: Sequence[str], route: Route, *, caching: bool) -> list[Answer]:
        self.calls.append((route.strategy, tuple(texts), caching))
        return [Answer(intent=text, confidence=1.0, tier="rules") for text in texts]


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


def said(text: str, user: str | None) -> Received:
    return Received(Utterance(text=text, id=text, user_id=user))


async def test_each_user_goes_the_way_that_the_flags_say_and_the_order_is_kept() -> None:
    classifier, counts = Echo(), Counts()
    decider = FlaggedClassifier(cast("Any", classifier), lambda: ByUser(revision=7), counts)
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
    decider = FlaggedClassifier(cast("Any", Echo()), lambda: next(states), Counts())
    first = await decider.decide([said(text, text) for text in "abc"])
    second = await decider.decide([said("d", None)])
    assert {(decision.strategy, decision.flags_revision) for decision in first} == {("quality", 1)}
    assert [(decision.strategy, decision.flags_revision) for decision in second] == [("adaptive", 2)]
