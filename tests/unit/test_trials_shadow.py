"""A candidate is asked after an answer was given, within its rate, and never while utterances wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from flags.evaluation import Snapshot
from models.answer import Answer
from models.serving import Candidate, Serving
from schemas.cloudevents import Received
from schemas.events import FlagChange, Guardrail, ModelRelease, Rollout, Trial, Utterance
from streams.decide import FlaggedClassifier
from streams.trials.flag import flag_of
from streams.trials.shadow import Shadow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.router import Route
    from schemas.events import ShadowReport
    from streams.results import Decision


class Fixed:
    """A classifier that says one thing of every text."""

    def __init__(self, intent: str, tier: str = "zero_shot") -> None:
        self.release = f"r-{intent}"
        self.asked: list[str] = []
        self.cached: list[bool] = []
        self.going = asyncio.Event()
        self.going.set()
        self.closed = False
        self._intent, self._tier = intent, tier

    def review_below(self, _: Route) -> float | None:
        return None

    async def classify(self, texts: Sequence[str], _route: Route, *, caching: bool) -> list[Answer]:
        self.asked += texts
        self.cached.append(caching)
        await self.going.wait()
        return [Answer(intent=self._intent, confidence=0.5, tier=self._tier) for _ in texts]

    async def close(self) -> None:
        self.closed = True


class Broken(Fixed):
    """A classifier that raises, which none should."""

    async def classify(self, texts: Sequence[str], _route: Route, *, caching: bool) -> list[Answer]:
        raise ValueError(f"{len(texts)} {caching}")


class Stage:
    """What serves, a candidate beside it, and who asks both."""

    def __init__(self, stage: Any = "shadow", flags: Snapshot | None = None, candidate: Fixed | None = None) -> None:
        self.serving_one, self.candidate_one = Fixed("refund"), candidate or Fixed("order_status")
        self.serving = Serving(cast("Any", self.serving_one))
        self.record = ModelRelease(
            name="zero_shot",
            release="aaaaaaaaaaaa",
            location="memory://store",
            sha256="a" * 64,
            released_at="2026-11-30T09:00:00Z",
            state="candidate",
            revision=3,
            trial=Trial(stage=stage, began_at="2026-11-30T09:00:00Z"),
        )
        self.candidate = Candidate(cast("Any", self.candidate_one), self.record)
        self.reports: list[ShadowReport] = []
        self.counts: dict[str, int] = {}
        self.now = 100.0
        self.browned_out = False
        self.shadow = Shadow(
            self.serving,
            per_second=10.0,
            browned_out=lambda: self.browned_out,
            report=self.reports.append,
            worker_id="w",
            observer=self,
            clock=lambda: self.now,
        )
        self.decider = FlaggedClassifier(self.serving, lambda: flags or Snapshot(), shadow=self.shadow)
        self.now += 1.0

    async def decide(self, *texts: str, user: str | None = "ada") -> list[Decision]:
        if self.serving.candidate is None:
            await self.serving.stand_by(self.candidate)
        said = [Received(Utterance(text=text, id=text, user_id=user)) for text in texts]
        return await self.decider.decide(said)

    async def reported(self) -> ShadowReport:
        await self.shadow.settled()
        self.shadow.flush()
        [report] = self.reports
        return report

    def shadow_asked(self, outcome: str, texts: int) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + texts

    def unexpected(self, guard: str) -> None:
        self.counts[guard] = self.counts.get(guard, 0) + 1


async def test_it_is_asked_afterwards_and_what_it_would_have_said_is_reported() -> None:
    stage = Stage()
    stage.candidate_one.going.clear()
    decisions = await stage.decide("a", "b")  # which comes back although the candidate does not
    assert [(each.answer.intent, each.release) for each in decisions] == [("refund", "r-refund")] * 2
    stage.candidate_one.going.set()
    report = await stage.reported()
    assert (report.release, report.served_by, report.texts) == ("aaaaaaaaaaaa", "r-refund", 2)
    assert [(each.utterance_id, each.served, each.candidate) for each in report.different] == [
        ("a", "refund", "order_status"),
        ("b", "refund", "order_status"),
    ]
    assert stage.candidate_one.cached == [False]
    assert (stage.counts["different"], stage.counts["same"]) == (2, 0)


async def test_it_is_asked_no_more_than_so_many_in_a_second() -> None:
    stage = Stage()
    await stage.decide(*"abcdefghijklmno")
    await stage.shadow.settled()
    stage.now += 0.5
    await stage.decide(*"pqrstu")
    report = await stage.reported()
    assert (report.texts, report.skipped) == (15, 6)
    assert stage.candidate_one.asked == [*"abcdefghij", *"pqrst"]


async def test_while_it_still_answers_it_is_not_asked_again() -> None:
    stage = Stage()
    stage.candidate_one.going.clear()
    await stage.decide("a")
    await asyncio.sleep(0)
    await stage.decide("b")
    stage.candidate_one.going.set()
    report = await stage.reported()
    assert (report.texts, report.skipped) == (1, 1)


async def test_while_utterances_wait_it_is_not_asked() -> None:
    stage = Stage()
    stage.browned_out = True
    await stage.decide("a")
    report = await stage.reported()
    assert (report.texts, report.skipped) == (0, 1)


async def test_what_people_answered_it_is_not_asked_about() -> None:
    stage = Stage()
    stage.serving_one._tier = "corrections"
    await stage.decide("a")
    await stage.shadow.settled()
    stage.shadow.flush()
    assert stage.reports == []


async def test_one_that_raises_disturbs_nobody() -> None:
    stage = Stage(candidate=Broken("order_status"))
    [decision] = await stage.decide("a")
    await stage.shadow.settled()
    assert decision.answer.intent == "refund"
    assert stage.counts["shadow"] == 1


async def test_one_that_is_withdrawn_before_it_is_asked_is_left_alone_and_closed_after_its_last_call() -> None:
    stage = Stage()
    await stage.decide("a")
    await stage.serving.stand_by(None)
    await stage.shadow.settled()
    assert (stage.candidate_one.asked, stage.candidate_one.closed, stage.serving_one.closed) == ([], True, False)


def rolled_out(percentage: float, name: str) -> Snapshot:
    rollout = Rollout(
        steps=(25.0, 100.0), guardrails=(Guardrail(metric="error_rate"),), entered_at="2026-11-30T09:00:00Z"
    )
    flag = FlagChange(
        name=name,
        enabled=True,
        rollout_percentage=percentage,
        rollout=rollout,
        revision=7,
        changed_by="t",
        changed_at="2026-11-30T09:00:00Z",
    )
    return Snapshot(revision=7, changes={name: flag})


async def test_rolled_out_it_answers_those_who_have_its_flag_and_the_results_say_so() -> None:
    stage = Stage("rollout")
    flags = rolled_out(25.0, flag_of(stage.record))
    stage = Stage("rollout", flags)
    await stage.serving.stand_by(stage.candidate)
    users = [f"user-{number}" for number in range(100)]
    decisions = await stage.decider.decide([Received(Utterance(text="a", id=user, user_id=user)) for user in users])
    for user, decision in zip(users, decisions, strict=True):
        has = flags.enabled(flag_of(stage.record), user)
        assert decision.release == ("r-order_status" if has else "r-refund")
        assert decision.exposures == {flag_of(stage.record): "on" if has else "off"}
    assert {decision.release for decision in decisions} == {"r-order_status", "r-refund"}
    assert stage.counts == {}  # and nobody asks it besides


async def test_where_it_is_not_there_the_one_that_serves_answers_and_nobody_is_compared() -> None:
    stage = Stage("rollout")
    decider = FlaggedClassifier(stage.serving, lambda: rolled_out(25.0, flag_of(stage.record)))
    users = [f"user-{number}" for number in range(50)]
    decisions = await decider.decide([Received(Utterance(text="a", id=user, user_id=user)) for user in users])
    assert {decision.release for decision in decisions} == {"r-refund"}
    assert all(decision.exposures == {} for decision in decisions)


async def test_in_its_shadow_it_answers_nobody_whatever_its_flag_says() -> None:
    stage = Stage("shadow")
    stage = Stage("shadow", rolled_out(100.0, flag_of(stage.record)))
    [decision] = await stage.decide("a")
    await stage.shadow.settled()
    assert decision.release == "r-refund"


async def test_another_candidates_flag_has_it_answer_nobody() -> None:
    stage = Stage("rollout", rolled_out(100.0, "candidate_zero_shot_bbbbbbbbbbbb"))
    await stage.serving.stand_by(stage.candidate)
    [decision] = await stage.decide("a")
    assert decision.release == "r-refund"
