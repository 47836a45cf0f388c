"""What probes answer, as pure functions of what a worker knows about itself: `application/health+json`.

Live says that the process runs, whatever else does not. Ready says that sending it traffic makes sense. A worker that
answers with less than all of its tiers or without its cache is ready, and says `warn`.
"""

from __future__ import annotations

import http
import math
from typing import TYPE_CHECKING, Any

import msgspec

from health.checks import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "application/health+json"

STUCK_SECONDS = 15.0
"""A transaction takes milliseconds; one still under way after three of its timeouts says that nothing is answered."""


STALE_SECONDS = 10.0
"""The flags' log is asked for its end every few seconds; after so long without an answer, changes may be missed."""


class FlagsState(msgspec.Struct, frozen=True, kw_only=True):
    """How well the flags are known.

    Attributes:
        revision: That decides.
        age_seconds: For how long newer ones might have been missed; infinite if the log was never read to its end.
        damaged: Flags whose newest record does not count; their last good state decides.
    """

    revision: int
    age_seconds: float
    damaged: frozenset[str] = frozenset()


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker knows about itself without asking anyone.

    Attributes:
        broker_reachable: Whether the intake's clients have a broker.
        assigned: Whether the intake has the assignment it should have; one without partitions counts, where the group
            has more members than the topic has partitions.
        tiers: Of the tiers that the flags put into the chain, in its order, which can answer now.
        release: The model release that answers.
        stopping: Whether it was asked to stop.
        committing_seconds: How long the transaction under way has been so.
        flags: How well the flags are known; None: they are not followed.
        releases_behind: Why another release serves than was announced, by model.
    """

    broker_reachable: bool
    assigned: bool
    tiers: Mapping[str, bool]
    release: str | None = None
    stopping: bool = False
    committing_seconds: float = 0.0
    flags: FlagsState | None = None
    releases_behind: Mapping[str, str] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A probe's answer.

    Attributes:
        http_status: 200, or 503 if the status is `fail`.
        body: Of `application/health+json`.
    """

    http_status: int
    body: dict[str, Any]

    @property
    def passes(self) -> bool:
        """Say whether traffic may come."""
        return self.http_status == http.HTTPStatus.OK


def live() -> Report:
    """Answer that the process runs: that it can say so is the proof."""
    return _report(Status.PASS, {})


def ready(state: WorkerState) -> Report:
    """Answer whether sending this worker traffic makes sense."""
    reasons = _reasons_not_ready(state)
    return _report(Status.FAIL, {"output": " ".join(reasons)}) if reasons else _report(Status.PASS, {})


def overall(state: WorkerState, dependencies: Mapping[str, CheckResult], *, version: str) -> Report:
    """Answer how this worker is: `fail` if it is not ready, `warn` if it makes do without something."""
    reasons = _reasons_not_ready(state)
    tiers = {f"tier:{name}": [_tier(name, able=able)] for name, able in state.tiers.items()}
    checks = tiers | {f"{name}:availability": [_dependency(name, result)] for name, result in dependencies.items()}
    if state.flags is not None:
        checks["flags:changelog"] = [_flags(state.flags)]
    checks["releases:log"] = [_releases(state.release, state.releases_behind)]
    whole = all(check["status"] == Status.PASS for entries in checks.values() for check in entries)
    body: dict[str, Any] = {"version": version, "serviceId": "intentstream", "checks": checks}
    if state.release is not None:
        body["releaseId"] = state.release
    if reasons:
        return _report(Status.FAIL, body | {"output": " ".join(reasons)})
    return _report(Status.PASS if whole else Status.WARN, body)


def _reasons_not_ready(state: WorkerState) -> list[str]:
    reasons = {
        "The worker is stopping.": state.stopping,
        "The broker is away.": not state.broker_reachable,
        "The intake has no assignment yet.": state.broker_reachable and not state.assigned,
        "No tier can answer.": not any(state.tiers.values()),
        f"A transaction has been under way for {state.committing_seconds:.0f} s.": (
            state.committing_seconds > STUCK_SECONDS
        ),
    }
    return [reason for reason, holds in reasons.items() if holds]


def _tier(name: str, *, able: bool) -> dict[str, Any]:
    return {"componentId": name, "componentType": "component", "status": Status.PASS if able else Status.WARN}


def _flags(flags: FlagsState) -> dict[str, Any]:
    """Describe the flags; old or damaged ones go on deciding, so it is a `warn` at most."""
    check = {"componentId": "flags", "componentType": "component", "observedValue": flags.revision}
    reasons = []
    if flags.age_seconds == math.inf:
        reasons.append("The changelog has not been read to its end yet.")
    elif flags.age_seconds > STALE_SECONDS:
        reasons.append(f"Changes of the last {flags.age_seconds:.0f} s may be missing.")
    if flags.damaged:
        reasons.append(f"The newest record of {', '.join(sorted(flags.damaged))} does not count.")
    if not reasons:
        return check | {"observedUnit": "revision", "status": Status.PASS}
    return check | {"observedUnit": "revision", "status": Status.WARN, "output": " ".join(reasons)}


def _releases(release: str | None, behind: Mapping[str, str]) -> dict[str, Any]:
    """Describe the releases; where one cannot serve, the one before it does, so it is a `warn` at most."""
    check: dict[str, Any] = {"componentId": "releases", "componentType": "component", "observedValue": release}
    if not behind:
        return check | {"status": Status.PASS}
    return check | {"status": Status.WARN, "output": " ".join(f"{model}: {why}" for model, why in behind.items())}


def _dependency(name: str, result: CheckResult) -> dict[str, Any]:
    """Describe a dependency; one that is away degrades a worker and no more, so it is a `warn` at most here."""
    check: dict[str, Any] = {
        "componentId": name,
        "componentType": "datastore",
        "status": Status.PASS if result.status is Status.PASS else Status.WARN,
        "since": result.since.isoformat(),
    }
    if result.checked_at is not None:
        check["time"] = result.checked_at.isoformat()
    if result.latency_seconds is not None:
        check |= {"observedValue": round(result.latency_seconds, 6), "observedUnit": "s"}
    if result.version is not None:
        check["version"] = result.version
    if result.reason is not None:
        check["output"] = result.reason
    return check


def _report(status: Status, body: dict[str, Any]) -> Report:
    code = http.HTTPStatus.SERVICE_UNAVAILABLE if status is Status.FAIL else http.HTTPStatus.OK
    return Report(http_status=code, body={"status": status} | body)
