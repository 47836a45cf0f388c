"""Each tier killed, hung, slow, wrong or out of memory, in every combination: every text has its answer in time."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.answer import NO_TIER
from models.breaker import BreakerState
from models.chain import Chain
from models.router import DISTILBERT, RULES, ZERO_SHOT
from schemas.events import Outcome
from tests.kit.faulty_tiers import DEADLINE, LEFT, LIMITS, WAITED, Fault, FaultyTier
from tests.kit.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from models.answer import Answer
    from models.prediction import Probabilities

ORDER = (DISTILBERT, ZERO_SHOT, RULES)
TEXTS = tuple(f"text {number}" for number in range(20))


def faulty(name: str, fault: Fault) -> FaultyTier:
    """Return a tier that is sure that a text means the intent of its own name."""

    def sure(texts: Sequence[str]) -> Probabilities:
        rows = np.full((len(texts), len(ORDER) + 1), 0.02, np.float32)
        rows[:, ORDER.index(name)] = 0.94
        return rows

    return FaultyTier(name, fault, sure)


class Drill:
    """Three tiers in a chain, on a clock that only moves when all of them wait."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = faults
        self.tiers = [faulty(name, fault) for name, fault in zip(ORDER, faults, strict=True)]
        self.chain = Chain(self.tiers, ORDER, LIMITS, clock=asyncio.get_running_loop().time)
        sound = [position for position, fault in enumerate(faults) if fault is Fault.NONE]
        self.asked = sound[0] + 1 if sound else len(ORDER)
        self.answers_with = ORDER[sound[0]] if sound else NO_TIER

    async def ask(self, order: Sequence[str] = ORDER) -> tuple[list[Answer], float]:
        """Return the answers, and the seconds they took."""
        now = asyncio.get_running_loop().time
        started = now()
        return await self.chain.classify(TEXTS, order), now() - started

    def heal(self) -> None:
        for tier in self.tiers:
            tier.fault = Fault.NONE


def run(drill: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(drill)


def ways(answers: Sequence[Answer]) -> set[tuple[tuple[str, Outcome, str | None], ...]]:
    """Return who was asked and, of those who were left, why; of all the answers."""
    return {
        tuple(
            (turn.tier, turn.outcome, turn.reason if turn.outcome is not Outcome.ANSWERED else None) for turn in tried
        )
        for tried in {answer.tried for answer in answers}
    }


every_combination = pytest.mark.parametrize(
    "faults", [pytest.param(each, id="-".join(each)) for each in itertools.product(Fault, repeat=len(ORDER))]
)


@every_combination
def test_every_text_is_answered_in_time_by_the_first_sound_tier_and_says_what_was_tried(
    faults: tuple[Fault, ...],
) -> None:
    async def drill() -> None:
        drill = Drill(faults)
        answers, seconds = await drill.ask()
        assert [answer.tier for answer in answers] == [drill.answers_with] * len(TEXTS)
        assert {answer.intent for answer in answers} == {None if drill.answers_with == NO_TIER else drill.answers_with}
        assert {answer.degraded for answer in answers} == {faults[0] is not Fault.NONE}
        tried = [(name, *LEFT[fault]) for name, fault in zip(ORDER, faults, strict=True)]
        assert ways(answers) == {tuple(tried[: drill.asked])}
        assert seconds == pytest.approx(sum(WAITED.get(fault, 0.0) for fault in faults[: drill.asked]))

    run(drill())


@every_combination
def test_a_tier_that_stays_broken_is_left_alone_until_a_probe_finds_it_sound(faults: tuple[Fault, ...]) -> None:
    async def drill() -> None:
        drill = Drill(faults)
        for _ in range(LIMITS.breaker_failures):
            await drill.ask()
        broken = {name for name, fault in zip(ORDER[: drill.asked], faults, strict=False) if fault is not Fault.NONE}
        assert {name for name, state in drill.chain.breakers.items() if state is BreakerState.OPEN} == broken
        answers, seconds = await drill.ask()
        assert {answer.tier for answer in answers} == {drill.answers_with}
        assert {turn.outcome for answer in answers for turn in answer.tried if turn.tier in broken} <= {Outcome.OPEN}
        assert seconds == 0

        drill.heal()
        await asyncio.sleep(LIMITS.breaker_open_seconds)
        for first in ORDER:
            answers, _ = await drill.ask([first])
            assert {(answer.tier, answer.degraded) for answer in answers} == {(first, False)}
        assert set(drill.chain.breakers.values()) == {BreakerState.CLOSED}

    run(drill())


def test_a_call_that_is_cancelled_from_inside_is_the_tiers_failure_and_not_the_callers() -> None:
    class Cancelling:
        name = DISTILBERT

        async def classify(self, texts: Sequence[str]) -> Probabilities:  # noqa: ARG002 - a tier's
            call: asyncio.Future[Probabilities] = asyncio.get_running_loop().create_future()
            call.cancel()
            return await call

    async def drill() -> None:
        chain = Chain([Cancelling(), faulty(RULES, Fault.NONE)], ORDER, LIMITS)
        [answer] = await chain.classify(["text"], [DISTILBERT, RULES])
        assert (answer.tier, answer.tried[0].outcome) == (RULES, Outcome.FAILED)
        assert answer.tried[0].reason == "its call was cancelled"

    run(drill())


def test_while_a_probe_hangs_nobody_else_waits() -> None:
    async def drill() -> None:
        drill = Drill([Fault.HUNG, Fault.NONE, Fault.NONE])
        for _ in range(LIMITS.breaker_failures):
            await drill.ask()
        await asyncio.sleep(LIMITS.breaker_open_seconds)
        together = await asyncio.gather(*(drill.ask() for _ in range(10)))
        assert sorted(seconds for _, seconds in together) == pytest.approx([0.0] * 9 + [DEADLINE])
        assert {answer.tier for answers, _ in together for answer in answers} == {ZERO_SHOT}

    run(drill())


def test_a_tier_that_dies_in_the_middle_of_a_batch_keeps_what_it_answered() -> None:
    class Dying(FaultyTier):
        async def classify(self, texts: Sequence[str]) -> Probabilities:
            answer = await super().classify(texts)
            self.fault = Fault.KILLED
            return answer

    async def drill() -> None:
        sound = faulty(DISTILBERT, Fault.NONE)
        chain = Chain([Dying(DISTILBERT, Fault.NONE, sound.answer), faulty(RULES, Fault.NONE)], ORDER, LIMITS)
        answers = await chain.classify([str(number) for number in range(2_000)], [DISTILBERT, RULES])
        tiers = [answer.tier for answer in answers]
        kept = tiers.count(DISTILBERT)
        assert 0 < kept < len(tiers)
        assert tiers == [DISTILBERT] * kept + [RULES] * (len(tiers) - kept)
        assert [answer.degraded for answer in answers] == [tier == RULES for tier in tiers]

    run(drill())
