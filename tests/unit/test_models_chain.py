"""The chain always answers: whatever its tiers do, every text has one answer and a record of how it came about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.answer import NO_TIER
from models.breaker import BreakerState
from models.calibration import Calibration
from models.chain import Chain
from models.prediction import Probabilities, TierFailedError, TierTimeoutError, TierUnavailableError
from models.thresholds import Thresholds
from schemas import settings
from schemas.events import Attempt, Outcome
from tests.kit.scripted_tiers import GREETING, LABELS, OUTSIDE, REFUND, UNSURE, Scripted, ask, chain_of, outcomes, says

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


async def test_every_answer_says_how_likely_out_of_scope_is() -> None:
    for row, likely in ((REFUND, 0.05), (OUTSIDE, 0.8)):
        [answer] = await ask(chain_of(Scripted("first", says(*row))), "first")
        assert answer.out_of_scope == pytest.approx(likely)


async def test_a_sure_tier_answers_alone() -> None:
    second = Scripted("second", says(*GREETING))
    [answer] = await ask(chain_of(Scripted("first", says(*REFUND)), second), "first", "second")
    assert (answer.intent, answer.tier, answer.degraded) == ("refund", "first", False)
    assert answer.confidence == pytest.approx(0.85)
    assert second.calls == []


async def test_an_answer_names_the_next_best_candidates_best_first() -> None:
    [answer] = await ask(chain_of(Scripted("first", says(*REFUND))), "first")
    assert [candidate.intent for candidate in answer.alternatives] == ["greeting", None]


async def test_only_the_texts_a_tier_is_unsure_of_go_on() -> None:
    rows = {"hello": GREETING, "hm": UNSURE}
    first = Scripted("first", lambda texts: [rows[text] for text in texts])
    second = Scripted("second", says(*REFUND))
    answers = await ask(chain_of(first, second), "first", "second", texts=["hello", "hm", "hello"])
    assert second.calls == [["hm"]]
    assert [(answer.intent, answer.tier) for answer in answers] == [
        ("greeting", "first"),
        ("refund", "second"),
        ("greeting", "first"),
    ]
    assert outcomes(answers[1]) == [("first", Outcome.UNSURE), ("second", Outcome.ANSWERED)]
    assert not answers[1].degraded


async def test_where_all_are_unsure_the_most_confident_answer_stands() -> None:
    chain = chain_of(Scripted("first", says(0.3, 0.5, 0.2)), Scripted("second", says(*UNSURE)))
    [answer] = await ask(chain, "first", "second")
    assert (answer.intent, answer.tier) == ("refund", "first")
    assert outcomes(answer) == [("first", Outcome.ANSWERED), ("second", Outcome.UNSURE)]


async def test_a_turn_says_how_sure_the_tier_was_and_how_sure_it_should_have_been() -> None:
    thresholds = {"first": Thresholds(sure=0.7), "second": Thresholds(sure=0.8)}
    chain = chain_of(Scripted("first", says(*UNSURE)), Scripted("second", says(*REFUND)))
    [answer] = await chain.classify(["hello"], ["first", "second"], thresholds=thresholds)
    assert [attempt.reason for attempt in answer.tried] == [
        "0.449 sure, less than the 0.700 that stands alone",
        "at least 0.800 sure",
    ]


async def test_an_answer_that_stands_though_unsure_says_that_nobody_was_surer() -> None:
    [answer] = await ask(chain_of(Scripted("first", says(*UNSURE))), "first")
    assert (answer.tried[0].outcome, answer.tried[0].reason) == (
        Outcome.ANSWERED,
        "0.449 sure, less than the 0.600 that stands alone; nobody was surer",
    )


async def test_the_sure_answer_of_a_later_tier_stands_though_an_unsure_one_was_surer() -> None:
    thresholds = {"first": Thresholds(sure=0.9), "second": Thresholds(sure=0.0)}
    chain = chain_of(Scripted("first", says(*REFUND)), Scripted("second", says(*UNSURE)))
    [answer] = await chain.classify(["hello"], ["first", "second"], thresholds=thresholds)
    assert (answer.intent, answer.tier) == ("greeting", "second")


async def test_a_tier_is_read_through_its_calibration() -> None:
    thresholds = {"first": Thresholds(sure=0.0, calibration=Calibration(offset=-1.0))}
    chain = chain_of(Scripted("first", says(*REFUND)))
    [answer] = await chain.classify(["hello"], ["first"], thresholds=thresholds)
    assert answer.intent == "refund"
    assert answer.confidence < 0.8


async def test_likely_enough_out_of_scope_is_the_answer_though_an_intent_is_likelier() -> None:
    thresholds = {"first": Thresholds(sure=0.0, intent=0.0, out_of_scope=0.2)}
    chain = chain_of(Scripted("first", says(*UNSURE)))
    [answer] = await chain.classify(["hello"], ["first"], thresholds=thresholds)
    assert (answer.intent, round(answer.confidence, 3)) == (None, 0.2)


async def test_the_settings_override_what_was_fitted() -> None:
    chain = chain_of(Scripted("first", says(*REFUND)), Scripted("second", says(*GREETING)), sure_confidence=0.87)
    [answer] = await chain.classify(["hello"], ["first", "second"], thresholds={"first": Thresholds(sure=0.0)})
    assert answer.tier == "second"


async def test_without_escalation_an_unsure_answer_stands() -> None:
    second = Scripted("second", says(*REFUND))
    [answer] = await ask(chain_of(Scripted("first", says(*UNSURE)), second), "first", "second", escalate=False)
    assert (answer.intent, second.calls) == ("greeting", [])


async def test_likeliest_out_of_scope_is_out_of_scope() -> None:
    [answer] = await ask(chain_of(Scripted("first", says(*OUTSIDE))), "first")
    assert (answer.intent, round(answer.confidence, 3)) == (None, 0.8)


async def test_nothing_likely_enough_is_out_of_scope_with_the_candidates_beside() -> None:
    chain = chain_of(Scripted("first", says(0.45, 0.35, 0.2)), out_of_scope_confidence=0.5)
    [answer] = await ask(chain, "first")
    assert (answer.intent, round(answer.confidence, 3)) == (None, 0.2)
    assert [candidate.intent for candidate in answer.alternatives] == ["greeting", "refund"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: ValueError("a bug"), id="raises"),
        pytest.param(lambda _: MemoryError(), id="has no memory"),
        pytest.param(lambda _: None, id="answers nothing"),
        pytest.param(lambda texts: [REFUND] * (len(texts) + 1), id="answers too many rows"),
        pytest.param(lambda texts: [[1.0]] * len(texts), id="answers too few columns"),
        pytest.param(says(float("nan"), 0.5, 0.5), id="answers what is no number"),
        pytest.param(says(float("inf"), 0.0, 0.0), id="answers infinity"),
        pytest.param(says(0.2, 0.2, 0.2), id="does not sum to 1"),
        pytest.param(says(1.5, -0.5, 0.0), id="answers below 0"),
    ],
)
async def test_a_tier_that_breaks_is_followed_by_the_next(answer: Callable[[Sequence[str]], Any]) -> None:
    chain = chain_of(Scripted("broken", answer), Scripted("sound", says(*REFUND)))
    [given] = await ask(chain, "broken", "sound")
    assert (given.intent, given.tier, given.degraded) == ("refund", "sound", True)
    assert outcomes(given) == [("broken", Outcome.FAILED), ("sound", Outcome.ANSWERED)]
    assert given.tried[0].reason


async def test_a_reason_never_quotes_what_a_tier_raised() -> None:
    chain = chain_of(Scripted("broken", lambda texts: ValueError(f"cannot read {texts[0]}")))
    [answer] = await ask(chain, "broken", texts=["my secret is a zebra"])
    assert "zebra" not in str(answer)


@pytest.mark.parametrize(("error", "outcome"), [(TierFailedError, Outcome.FAILED), (TierTimeoutError, Outcome.TIMEOUT)])
async def test_a_tier_that_says_why_it_failed_is_quoted_and_its_breaker_opens(
    error: type[TierFailedError], outcome: Outcome
) -> None:
    chain = chain_of(Scripted("away", lambda _: error("it answers 500")), breaker_failures=1)
    [answer] = await ask(chain, "away")
    assert [(attempt.outcome, attempt.reason) for attempt in answer.tried] == [(outcome, "it answers 500")]
    assert chain.breakers["away"] is BreakerState.OPEN


async def test_a_tier_that_is_not_loaded_is_followed_by_the_next_and_its_breaker_stays_closed() -> None:
    away = Scripted("away", lambda _: TierUnavailableError("not loaded yet"))
    chain = chain_of(away, Scripted("sound", says(*REFUND)), breaker_failures=1)
    for _ in range(3):
        [answer] = await ask(chain, "away", "sound")
    assert outcomes(answer)[0] == ("away", Outcome.UNAVAILABLE)
    assert answer.degraded
    assert chain.breakers["away"] is BreakerState.CLOSED


async def test_a_tier_nobody_knows_is_followed_by_the_next() -> None:
    [answer] = await ask(chain_of(Scripted("sound", says(*REFUND))), "unheard_of", "sound")
    assert outcomes(answer)[0] == ("unheard_of", Outcome.UNAVAILABLE)


@pytest.mark.parametrize("order", [(), ("broken",), ("unheard_of",)])
async def test_where_every_tier_fails_there_is_still_an_answer(order: tuple[str, ...]) -> None:
    chain = chain_of(Scripted("broken", lambda _: ValueError()))
    [answer] = await ask(chain, *order)
    assert (answer.intent, answer.confidence, answer.tier) == (None, 0.0, NO_TIER)
    assert answer.degraded
    assert answer.alternatives == ()


async def test_no_text_needs_no_tier() -> None:
    tier = Scripted("first", says(*REFUND))
    assert await ask(chain_of(tier), "first", texts=[]) == []
    assert tier.calls == []


async def test_a_tier_past_its_deadline_is_followed_by_the_next() -> None:
    chain = chain_of(
        Scripted("slow", lambda _: asyncio.Event().wait()),
        Scripted("sound", says(*REFUND)),
        tier_deadline_seconds=0.01,
    )
    [answer] = await ask(chain, "slow", "sound")
    assert outcomes(answer) == [("slow", Outcome.TIMEOUT), ("sound", Outcome.ANSWERED)]
    assert answer.tried[0].seconds >= 0.01


async def test_a_tier_that_keeps_failing_is_left_alone_and_tried_again_after_a_while() -> None:
    now = [0.0]
    sick = [True]
    tier = Scripted("first", lambda texts: ValueError() if sick[0] else [REFUND] * len(texts))
    limits = settings.Chain(breaker_failures=2, breaker_open_seconds=5.0)
    chain = Chain([tier], LABELS, limits, clock=lambda: now[0])
    for _ in range(4):
        [answer] = await ask(chain, "first")
    assert outcomes(answer) == [("first", Outcome.OPEN)]
    assert len(tier.calls) == 2

    now[0], sick[0] = 5.0, False
    [answer] = await ask(chain, "first")
    assert outcomes(answer) == [("first", Outcome.ANSWERED)]
    assert chain.breakers["first"] is BreakerState.CLOSED


async def test_a_probe_whose_caller_went_away_does_not_keep_the_tier_out() -> None:
    now = [0.0]
    probing = asyncio.Event()

    async def hang() -> None:
        probing.set()
        await asyncio.Event().wait()

    answers = iter([lambda _: ValueError(), lambda _: hang(), says(*REFUND)])
    tier = Scripted("first", lambda texts: next(answers)(texts))  # noqa: PLW0108 - another each call
    chain = Chain([tier], LABELS, settings.Chain(breaker_failures=1), clock=lambda: now[0])
    await ask(chain, "first")
    now[0] = 60.0
    caller = asyncio.create_task(ask(chain, "first"))
    await probing.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    [answer] = await ask(chain, "first")
    assert outcomes(answer) == [("first", Outcome.ANSWERED)]


class Heard:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.called: list[tuple[str, Outcome, int]] = []
        self.answered: dict[str, int] = {}
        self.breakers: list[tuple[str, BreakerState]] = []

    def tier_called(self, attempt: Attempt, texts: int) -> None:
        assert attempt.seconds >= 0
        self.called.append((attempt.tier, attempt.outcome, texts))

    def tier_answered(self, tier: str, texts: int) -> None:
        self.answered[tier] = self.answered.get(tier, 0) + texts

    def breaker_changed(self, name: str, state: BreakerState) -> None:
        self.breakers.append((name, state))

    def cache_asked(self, level: str, hits: int, misses: int) -> None:
        raise AssertionError((level, hits, misses))


async def test_each_turn_and_each_breaker_is_told_to_the_observer() -> None:
    heard = Heard()
    tiers = [Scripted("broken", lambda _: ValueError()), Scripted("sound", says(*REFUND))]
    chain = Chain(tiers, LABELS, settings.Chain(breaker_failures=1), observer=heard)
    await ask(chain, "broken", "sound", texts=["a", "b"])
    assert heard.called == [("broken", Outcome.FAILED, 2), ("sound", Outcome.ANSWERED, 2)]
    assert heard.answered == {"sound": 2}
    assert heard.breakers == [("broken", BreakerState.OPEN)]


class Slow:
    """A tier that answers so many texts a second, on a clock of its own."""

    name = "slow"

    def __init__(self, texts_per_second: float) -> None:
        self.now = 0.0
        self.calls: list[int] = []
        self._seconds_each = 1 / texts_per_second

    async def classify(self, texts: Sequence[str]) -> Probabilities:
        self.calls.append(len(texts))
        self.now += len(texts) * self._seconds_each
        return np.asarray([REFUND] * len(texts), np.float32)


async def test_what_a_slow_tier_answers_by_its_deadline_counts_and_the_next_gets_the_rest() -> None:
    slow, fast = Slow(texts_per_second=400), Scripted("fast", says(*GREETING))
    limits = settings.Chain(tier_deadline_seconds=2.0, breaker_failures=1)
    chain = Chain([slow, fast], LABELS, limits, clock=lambda: slow.now)
    answers = await ask(chain, "slow", "fast", texts=[str(number) for number in range(2_000)])
    by_slow = [answer for answer in answers if answer.tier == "slow"]
    assert 700 <= len(by_slow) <= 800
    assert not any(answer.degraded for answer in by_slow)
    rest = [answer for answer in answers if answer.tier == "fast"]
    assert len(rest) == 2_000 - len(by_slow)
    assert {tuple(outcomes(answer)) for answer in rest} == {(("slow", Outcome.TIMEOUT), ("fast", Outcome.ANSWERED))}
    assert slow.now <= 2.0
    assert chain.breakers["slow"] is BreakerState.CLOSED


async def test_a_fast_tier_is_called_twice_for_a_large_batch() -> None:
    fast = Slow(texts_per_second=50_000)
    chain = Chain([fast], LABELS, settings.Chain(), clock=lambda: fast.now)
    assert len(await ask(chain, "slow", texts=[str(number) for number in range(10_000)])) == 10_000
    assert fast.calls == [256, 10_000 - 256]
