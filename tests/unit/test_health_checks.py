"""Dependencies are asked in the background; nobody waits for one that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from typing import TYPE_CHECKING

import pytest

from health.checks import CheckResult, DependencyChecks, Status
from health.metrics import Metrics
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Clock:
    def __init__(self) -> None:
        self.now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now


class Scripted:
    """A dependency that does what it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: Exception | None = None
        self.hangs = False
        self.obeys_cancellation = True
        self.closed = False
        self.released = asyncio.Event()

    async def ask(self) -> str | None:
        if self.hangs:
            await self._hang()
        if self.error is not None:
            raise self.error
        return "7.2"

    async def close(self) -> None:
        self.closed = True

    async def _hang(self) -> None:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                if self.obeys_cancellation:
                    raise


@contextlib.asynccontextmanager
async def running(checks: DependencyChecks) -> AsyncIterator[None]:
    task = asyncio.create_task(checks.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is watched is code that is to be left as it is
            await asyncio.sleep(0.001)


def watch(metrics: Metrics, *dependencies: Scripted, now: Clock | None = None) -> DependencyChecks:
    return DependencyChecks(dependencies, metrics, interval_seconds=0.001, deadline_seconds=0.02, now=now or Clock())


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def is_up(metrics: Metrics, dependency: str) -> float | None:
    return metrics.registry.get_sample_value("intentstream_dependency_up", {"dependency": dependency})


async def test_a_dependency_that_was_not_asked_yet_is_a_warning(metrics: Metrics) -> None:
    result = watch(metrics, Scripted("redis")).results["redis"]
    assert (result.status, result.checked_at) == (Status.WARN, None)


async def test_an_answer_is_kept_with_its_latency_and_version(metrics: Metrics) -> None:
    checks = watch(metrics, Scripted("redis"))
    async with running(checks):
        await until(lambda: checks.results["redis"].status is Status.PASS)
    result = checks.results["redis"]
    assert result.version == "7.2"
    assert result.latency_seconds is not None
    assert is_up(metrics, "redis") == 1


@pytest.mark.parametrize("obeys_cancellation", [True, False])
async def test_a_hung_dependency_fails_at_its_deadline_and_holds_up_no_other(
    metrics: Metrics, *, obeys_cancellation: bool
) -> None:
    hung, well = Scripted("kafka"), Scripted("redis")
    hung.hangs, hung.obeys_cancellation = True, obeys_cancellation
    checks = watch(metrics, hung, well)
    async with running(checks):
        await until(lambda: {each.status for each in checks.results.values()} == {Status.PASS, Status.FAIL})
        hung.released.set()
    assert checks.results["kafka"].reason == "It did not answer within 0.02 s."
    assert is_up(metrics, "kafka") == 0


async def test_a_dependency_that_comes_back_passes_again(metrics: Metrics) -> None:
    redis = Scripted("redis")
    redis.error = UnavailableError("Redis: connection refused")
    checks = watch(metrics, redis)
    async with running(checks):
        await until(lambda: checks.results["redis"].status is Status.FAIL)
        assert checks.results["redis"].reason == "Redis: connection refused"
        redis.error = None
        await until(lambda: checks.results["redis"].status is Status.PASS)


async def test_since_is_when_the_status_changed_last(metrics: Metrics) -> None:
    clock, redis = Clock(), Scripted("redis")
    checks = watch(metrics, redis, now=clock)
    async with running(checks):
        await until(lambda: checks.results["redis"].status is Status.PASS)
        began = clock.now
        clock.now += dt.timedelta(minutes=5)
        await until(lambda: checks.results["redis"].checked_at == clock.now)
        assert checks.results["redis"].since == began
        redis.error = UnavailableError("Redis: connection refused")
        await until(lambda: checks.results["redis"].status is Status.FAIL)
        assert checks.results["redis"].since == clock.now


async def test_a_bug_in_one_check_is_counted_and_ends_no_other(metrics: Metrics) -> None:
    broken, well = Scripted("kafka"), Scripted("redis")
    broken.error = ZeroDivisionError()
    checks = watch(metrics, broken, well)
    failed: Callable[[], CheckResult] = lambda: checks.results["kafka"]  # noqa: E731 - reads better than a def
    async with running(checks):
        await until(lambda: failed().status is Status.FAIL and checks.results["redis"].status is Status.PASS)
    assert failed().reason == "The check is broken: ZeroDivisionError."
    counted = metrics.registry.get_sample_value("intentstream_unexpected_errors_total", {"guard": "dependency_check"})
    assert counted
    assert counted >= 1


async def test_stopping_gives_back_what_asking_needed(metrics: Metrics) -> None:
    redis = Scripted("redis")
    async with running(watch(metrics, redis)):
        await asyncio.sleep(0)
    assert redis.closed
