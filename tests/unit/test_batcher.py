"""How utterances that come one at a time are decided together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from models.answer import Answer
from schemas.cloudevents import Received
from schemas.events import Utterance
from streams.batcher import MAX_BATCH_UTTERANCES, Batcher, OverloadedError
from streams.results import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence


class GatedDecider:
    """Answers each text with itself as the intent, once the gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def decide(self, utterances: Sequence[Received]) -> list[Decision]:
        self.batches.append([received.utterance.text for received in utterances])
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return [Decision(_answer(received.utterance.text), "adaptive", "release", 0) for received in utterances]


def _answer(intent: str) -> Answer:
    return Answer(intent=intent, confidence=1.0, alternatives=(), tier="rules", tried=(), degraded=False)


def _ask(batcher: Batcher, *texts: str) -> list[asyncio.Task[Decision]]:
    return [asyncio.create_task(batcher.decide(Received(Utterance(text=text), None, None))) for text in texts]


async def _intents(asked: Sequence[asyncio.Task[Decision]]) -> list[str | None]:
    return [(await each).answer.intent for each in asked]


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_arrives_while_a_batch_is_decided_is_the_next_batch_and_each_gets_its_own_answer() -> None:
    decider = GatedDecider()
    batcher = Batcher(decider, max_waiting=10)

    first = _ask(batcher, "a")
    await _settle()
    others = _ask(batcher, "b", "c", "d")
    await _settle()
    decider.gate.set()

    assert await _intents(first + others) == ["a", "b", "c", "d"]
    assert decider.batches == [["a"], ["b", "c", "d"]]


async def test_no_batch_is_larger_than_the_tiers_answer_within_milliseconds() -> None:
    decider = GatedDecider()
    decider.gate.set()
    texts = [str(number) for number in range(3 * MAX_BATCH_UTTERANCES)]

    assert await _intents(_ask(Batcher(decider, max_waiting=1_000), *texts)) == texts
    assert max(map(len, decider.batches)) == MAX_BATCH_UTTERANCES


async def test_more_than_may_wait_are_refused_at_once_and_those_that_wait_are_answered() -> None:
    decider = GatedDecider()
    batcher = Batcher(decider, max_waiting=2)
    first = _ask(batcher, "a")
    await _settle()
    waiting = _ask(batcher, "b", "c")
    await _settle()

    with pytest.raises(OverloadedError) as refusal:
        await batcher.decide(Received(Utterance(text="d"), None, None))

    decider.gate.set()
    assert refusal.value.http_status == 503
    assert await _intents(first + waiting) == ["a", "b", "c"]


async def test_who_went_away_while_waiting_is_not_decided_about() -> None:
    decider = GatedDecider()
    batcher = Batcher(decider, max_waiting=10)
    first = _ask(batcher, "a")
    await _settle()
    gone, patient = _ask(batcher, "b", "c")
    await _settle()
    gone.cancel()
    await _settle()
    decider.gate.set()

    assert await _intents([*first, patient]) == ["a", "c"]
    assert decider.batches == [["a"], ["c"]]


async def test_a_failure_reaches_all_who_shared_the_batch_and_nobody_after_them() -> None:
    decider = GatedDecider()
    batcher = Batcher(decider, max_waiting=10)
    decider.failure = RuntimeError("a bug")
    decider.gate.set()

    outcomes = await asyncio.gather(*_ask(batcher, "a", "b"), return_exceptions=True)
    decider.failure = None

    assert [type(outcome) for outcome in outcomes] == [RuntimeError, RuntimeError]
    assert await _intents(_ask(batcher, "c")) == ["c"]
