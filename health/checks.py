"""Asks each dependency how it is, in the background, so that a probe only reads: a hung dependency hangs no probe."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import time
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from health.logs import describe_fault
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from health.metrics import Metrics

_log = structlog.get_logger(__name__)


class Status(enum.StrEnum):
    """In the words of `application/health+json`."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


class Dependency(Protocol):
    """Something outside this process that a worker talks to."""

    @property
    def name(self) -> str:
        """What people and metrics call it."""

    async def ask(self) -> str | None:
        """Really ask it something.

        Returns:
            Its version, if it tells.

        Raises:
            UnavailableError: It did not answer, or not as it should.
        """

    async def close(self) -> None:
        """Give back what asking needed."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a dependency was when it was last asked.

    Attributes:
        latency_seconds: How long it took to answer; None if it did not.
        since: Since when the status is what it is.
        checked_at: When it was asked last; None if it has not been yet.
        reason: Why the status is not `pass`.
    """

    status: Status
    since: dt.datetime
    checked_at: dt.datetime | None = None
    latency_seconds: float | None = None
    version: str | None = None
    reason: str | None = None


class DependencyChecks:
    """Asks every dependency again and again, each by itself and with a deadline of its own."""

    def __init__(
        self,
        dependencies: Sequence[Dependency],
        metrics: Metrics,
        *,
        interval_seconds: float = 5.0,
        deadline_seconds: float = 2.0,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Know nothing yet; `run` finds out.

        Args:
            dependencies: What is asked.
            metrics: Where `intentstream_dependency_up` is kept.
            interval_seconds: From one answer to the next question.
            deadline_seconds: How long one may take to answer.
            now: The clock.
        """
        self._dependencies = dependencies
        self._metrics = metrics
        self._interval_seconds = interval_seconds
        self._deadline_seconds = deadline_seconds
        self._now = now
        unknown = CheckResult(status=Status.WARN, since=now(), reason="It has not been asked yet.")
        self._results = {dependency.name: unknown for dependency in dependencies}

    @property
    def results(self) -> Mapping[str, CheckResult]:
        """Return the last answers, by dependency; never waits."""
        return self._results

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for dependency in self._dependencies:
                    tasks.create_task(self._ask_for_ever(dependency), name=f"check {dependency.name}")
        finally:
            for dependency in self._dependencies:
                await dependency.close()

    async def _ask_for_ever(self, dependency: Dependency) -> None:
        while True:
            self._note(dependency.name, await self._ask(dependency))
            await asyncio.sleep(self._interval_seconds)

    async def _ask(self, dependency: Dependency) -> CheckResult:
        """Ask once. What does not answer in time is given up, also if it cannot be stopped."""
        now = self._now()
        failed = CheckResult(status=Status.FAIL, since=now, checked_at=now)
        started = time.monotonic()
        question = asyncio.ensure_future(dependency.ask())
        question.add_done_callback(_take_note_of_late_answer)
        try:
            await asyncio.wait({question}, timeout=self._deadline_seconds)
        finally:
            question.cancel()  # nothing, if it is done
        if not question.done():
            return msgspec.structs.replace(failed, reason=f"It did not answer within {self._deadline_seconds:g} s.")
        try:
            version = question.result()
        except UnavailableError as error:
            return msgspec.structs.replace(failed, reason=str(error))
        except Exception as error:  # noqa: BLE001 - a fault in one check must not end the others; it is logged and counted
            self._metrics.unexpected_errors.labels("dependency_check").inc()
            _log.error("dependency_check_broken", dependency=dependency.name, **describe_fault(error))
            return msgspec.structs.replace(failed, reason=f"The check is broken: {type(error).__name__}.")
        latency = time.monotonic() - started
        return msgspec.structs.replace(failed, status=Status.PASS, latency_seconds=latency, version=version)

    def _note(self, name: str, result: CheckResult) -> None:
        """Keep an answer, and log it if it is another than before."""
        before = self._results[name]
        if before.status == result.status:
            result = msgspec.structs.replace(result, since=before.since)
        else:
            level = _log.info if result.status is Status.PASS else _log.warning
            level("dependency_changed", dependency=name, status=result.status.value, reason=result.reason)
        self._results = self._results | {name: result}
        self._metrics.dependency_up.labels(name).set(result.status is Status.PASS)


def _take_note_of_late_answer(question: asyncio.Future[str | None]) -> None:
    """Fetch what a question that was given up brought after all, or asyncio warns that nobody did."""
    if not question.cancelled():
        question.exception()
