"""When a tier is left alone, and when it is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.breaker import Breaker, BreakerState

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(clock: Callable[[], float]) -> Breaker:
    return Breaker(failures=3, open_seconds=5.0, clock=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.admit()
        breaker.failed()


def test_fewer_failures_than_the_limit_leave_it_closed(clock: Clock) -> None:
    breaker = make(clock)
    fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_failures_in_a_row_open_it(clock: Clock) -> None:
    breaker = make(clock)
    fail(breaker, 3)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.admit()


def test_a_success_between_failures_starts_the_count_again(clock: Clock) -> None:
    breaker = make(clock)
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_after_the_wait_exactly_one_call_may_probe(clock: Clock) -> None:
    breaker = make(clock)
    fail(breaker, 3)
    clock.now += 5.0
    assert breaker.state is BreakerState.HALF_OPEN
    assert [breaker.admit(), breaker.admit(), breaker.admit()] == [True, False, False]


def test_a_probe_that_succeeds_closes_it(clock: Clock) -> None:
    breaker = make(clock)
    fail(breaker, 3)
    clock.now += 5.0
    assert breaker.admit()
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_a_probe_that_fails_opens_it_for_the_whole_wait_again(clock: Clock) -> None:
    breaker = make(clock)
    fail(breaker, 3)
    clock.now += 5.0
    fail(breaker, 1)
    clock.now += 4.9
    assert not breaker.admit()
    clock.now += 0.1
    assert breaker.admit()


def test_a_probe_given_up_leaves_the_next_call_to_probe(clock: Clock) -> None:
    breaker = make(clock)
    fail(breaker, 3)
    clock.now += 5.0
    assert breaker.admit()
    breaker.released()
    assert breaker.admit()


def test_a_failure_that_was_under_way_when_it_opened_does_not_prolong_the_wait(clock: Clock) -> None:
    breaker = make(clock)
    assert breaker.admit()
    fail(breaker, 3)
    clock.now += 4.0
    breaker.failed()
    clock.now += 1.0
    assert breaker.state is BreakerState.HALF_OPEN
