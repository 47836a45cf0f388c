"""What `/health/models` says of the tiers and of who picks them, and what it remembers of the last minutes."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from health.model_probe import ModelsState, RouterState, TierState, models
from health.tiers import Failure, Latency, RecentTurns
from schemas.events import Attempt, Outcome

WELL = TierState(wanted=True, missing=None, release="base", tested=True)
AWAY = TierState(wanted=True, missing="no release is installed")
ROUTER = RouterState(
    strategy="adaptive",
    order=("rules", "zero_shot"),
    brown_out=False,
    mix={"rules": 0.75, "zero_shot": 0.25},
    window_seconds=300.0,
    sure={"rules": 0.8},
    out_of_scope={"rules": 1.0},
)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def state(router: RouterState = ROUTER, **tiers: TierState) -> ModelsState:
    return ModelsState(release="base", tiers=tiers, router=router)


def changed(tier: TierState, **changes: object) -> TierState:
    return msgspec.structs.replace(tier, **changes)


@pytest.mark.parametrize(
    ("asked", "http_status", "status"),
    [
        (state(rules=WELL, zero_shot=WELL), 200, "pass"),
        (state(rules=WELL, zero_shot=AWAY), 200, "warn"),
        (state(rules=WELL, zero_shot=changed(WELL, breaker="open")), 200, "warn"),
        (state(rules=WELL, zero_shot=changed(WELL, fault="its answers are no numbers")), 200, "warn"),
        (state(rules=WELL, distilbert=changed(AWAY, wanted=False)), 200, "pass"),
        (state(rules=AWAY, zero_shot=AWAY), 503, "fail"),
        (state(rules=AWAY, distilbert=changed(WELL, wanted=False)), 503, "fail"),
        (state(msgspec.structs.replace(ROUTER, brown_out=True), rules=WELL), 200, "warn"),
    ],
    ids=["well", "one away", "breaker open", "test failed", "away, unwanted", "all away", "wanted away", "brown-out"],
)
def test_a_tier_away_degrades_and_none_left_fails(asked: ModelsState, http_status: int, status: str) -> None:
    report = models(asked)
    assert (report.http_status, report.body["status"]) == (http_status, status)


def test_a_tier_tells_its_state_latency_and_last_error() -> None:
    at = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    failure = Failure(outcome=Outcome.TIMEOUT, reason="no answer within 2 s", at=at)
    latency = Latency(calls=9, p50_seconds=0.01, p95_seconds=0.02, p99_seconds=0.03)
    (check,) = models(state(rules=changed(WELL, latency=latency, failure=failure))).body["checks"]["tier:rules"]
    assert (check["observedValue"], check["breaker"], check["release"], check["selfTest"]) == (
        0.02,
        "closed",
        "base",
        "passed",
    )
    assert check["latency"] == {"calls": 9, "p50Seconds": 0.01, "p95Seconds": 0.02, "p99Seconds": 0.03}
    assert check["lastError"] == {
        "outcome": "timeout",
        "time": "2026-01-02T03:04:05+00:00",
        "reason": "no answer within 2 s",
    }


def test_the_router_tells_its_strategy_mix_and_thresholds() -> None:
    (check,) = models(state(rules=WELL)).body["checks"]["router:strategy"]
    assert (check["observedValue"], check["order"]) == ("adaptive", ("rules", "zero_shot"))
    assert check["tierMix"] == {"rules": 0.75, "zero_shot": 0.25}
    assert check["thresholds"] == {"rules": {"sure": 0.8, "outOfScope": 1.0}}


def turn(outcome: Outcome = Outcome.ANSWERED, seconds: float = 0.01, reason: str | None = None) -> Attempt:
    return Attempt(tier="rules", outcome=outcome, seconds=seconds, reason=reason)


def test_latency_is_that_of_the_last_minutes() -> None:
    clock = Clock()
    turns = RecentTurns(window_seconds=60, clock=clock)
    turns.turned(turn(seconds=9.0))
    clock.now += 61
    assert turns.latency("rules") is None
    for hundredth in range(1, 102):
        turns.turned(turn(seconds=hundredth / 100))
    latency = turns.latency("rules")
    assert latency is not None
    assert latency.calls == 101
    assert latency.p50_seconds == pytest.approx(0.51)
    assert latency.p95_seconds == pytest.approx(0.96)
    assert latency.p99_seconds == pytest.approx(1.0)


def test_a_turn_that_came_to_no_call_is_no_latency_and_no_error() -> None:
    turns = RecentTurns(clock=Clock())
    turns.turned(turn(Outcome.OPEN, 0.0, "it failed too often"))
    turns.turned(turn(Outcome.UNAVAILABLE, 0.0, "no release is installed"))
    assert (turns.latency("rules"), turns.failure("rules")) == (None, None)


def test_the_last_error_is_remembered_until_there_is_another() -> None:
    clock = Clock()
    turns = RecentTurns(window_seconds=60, clock=clock)
    turns.turned(turn(Outcome.FAILED, 0.1, "ValueError"))
    turns.turned(turn(Outcome.TIMEOUT, 2.0, "no answer within 2 s"))
    clock.now += 3_600
    turns.turned(turn())
    failure = turns.failure("rules")
    assert failure is not None
    assert (failure.outcome, failure.reason, failure.at.timestamp()) == (Outcome.TIMEOUT, "no answer within 2 s", 1_000)


def test_the_mix_is_who_answered_how_much_lately() -> None:
    clock = Clock()
    turns = RecentTurns(window_seconds=60, clock=clock)
    assert turns.mix() == {}
    turns.answered("distilbert", 1_000)
    clock.now += 61
    turns.answered("zero_shot", 1)
    turns.answered("rules", 2)
    turns.answered("rules", 1)
    assert list(turns.mix().items()) == [("rules", 0.75), ("zero_shot", 0.25)]


def test_memory_is_bounded() -> None:
    turns = RecentTurns(most=10, clock=Clock())
    for _ in range(25):
        turns.turned(turn())
    latency = turns.latency("rules")
    assert latency is not None
    assert latency.calls == 10
