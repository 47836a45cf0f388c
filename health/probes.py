"""What probes answer, as pure functions of what a worker knows about itself: `application/health+json`.

Live says that the process runs, whatever else does not. Ready says that sending it traffic makes sense. A worker that
answers with less than all of its tiers or without its cache is ready, and says `warn`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from health.checks import CheckResult, Status
from health.report import Check, Report, component, report, report_checks

if TYPE_CHECKING:
    from collections.abc import Mapping

STUCK_SECONDS = 15.0
"""A transaction takes milliseconds; one still under way after three of its timeouts says that nothing is answered."""


STALE_SECONDS = 10.0
"""The flags' log is asked for its end every few seconds; after so long without an answer, changes may be missed."""

ESSENTIAL = frozenset({"kafka"})
"""The dependencies without which a worker does not make do."""


class FlagsState(msgspec.Struct, frozen=True, kw_only=True):
    """How well the flags are known.

    Attributes:
        revision: That decides.
        age_seconds: For how long newer ones might have been missed; infinite if the log was never read to its end.
        damaged: Flags whose newest record does not count; their last good state decides.
        lag: Offsets of the log not read yet, as the broker said last; None: it never said.
        overrides: What the environment says, by flag; it stands above the log.
        warnings: What contradicts itself and how it is settled, a sentence each.
        unsaved: Why they cannot be kept on this machine for the next start; None: they can.
    """

    revision: int
    age_seconds: float
    damaged: frozenset[str] = frozenset()
    lag: int | None = None
    overrides: Mapping[str, bool] = {}
    warnings: tuple[str, ...] = ()
    unsaved: str | None = None


class SinkState(msgspec.Struct, frozen=True, kw_only=True):
    """How far Postgres is kept up with the log by this worker.

    Attributes:
        writing: Whether it is this worker that does.
        fault: Why nothing can be written, for a person; None: it can.
        lag_seconds: For how long the first record that is not there yet has waited, at most.
    """

    writing: bool
    fault: str | None = None
    lag_seconds: float = 0.0


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
        loaded: Whether every tier has been loaded, or is known not to be there.
        sink: How far it keeps Postgres up with the log; None: it never does.
    """

    broker_reachable: bool
    assigned: bool
    tiers: Mapping[str, bool]
    release: str | None = None
    stopping: bool = False
    committing_seconds: float = 0.0
    flags: FlagsState | None = None
    releases_behind: Mapping[str, str] = {}
    loaded: bool = True
    sink: SinkState | None = None


def live() -> Report:
    """Answer that the process runs: that it can say so is the proof."""
    return report(Status.PASS, {})


def ready(state: WorkerState) -> Report:
    """Answer whether sending this worker traffic makes sense."""
    reasons = _reasons_not_ready(state)
    return report(Status.FAIL, {"output": " ".join(reasons)}) if reasons else report(Status.PASS, {})


def startup(state: WorkerState) -> Report:
    """Answer whether this worker has started: some model can answer, whatever is away outside of it."""
    joined = Status.PASS if state.assigned else Status.WARN
    checks = {
        "models:loaded": [_loading(state)],
        "intake:assignment": [
            component("intake", joined, None if state.assigned else "The intake has no assignment yet.")
        ],
    }
    if state.flags is not None:
        checks["flags:changelog"] = [_flags(state.flags)]
    return report_checks(checks)


def dependencies(results: Mapping[str, CheckResult]) -> Report:
    """Answer how each dependency was when it was last asked: `fail` if one is away that a worker cannot do without."""
    return report_checks({f"{name}:availability": [_dependency(name, result)] for name, result in results.items()})


def flags(state: FlagsState | None) -> Report:
    """Answer how well the flags are known, and what stands above them."""
    if state is None:
        return report(Status.PASS, {"output": "The flags are not followed."})
    changelog = _flags(state) | {
        "ageSeconds": None if state.age_seconds == math.inf else round(state.age_seconds, 3),
        "lagRecords": state.lag,
        "damaged": sorted(state.damaged),
    }
    overrides = component("overrides", Status.PASS, flags=dict(sorted(state.overrides.items())))
    contradictions = component(
        "contradictions", Status.WARN if state.warnings else Status.PASS, " ".join(state.warnings) or None
    )
    return report_checks(
        {
            "flags:changelog": [changelog],
            "flags:environment": [overrides],
            "flags:contradictions": [contradictions],
        }
    )


def overall(state: WorkerState, results: Mapping[str, CheckResult], *, version: str) -> Report:
    """Answer how this worker is: `fail` if it is not ready, `warn` if it makes do without something."""
    reasons = _reasons_not_ready(state)
    tiers = {f"tier:{name}": [_tier(name, able=able)] for name, able in state.tiers.items()}
    checks = tiers | {f"{name}:availability": [_dependency(name, result)] for name, result in results.items()}
    if state.flags is not None:
        checks["flags:changelog"] = [_flags(state.flags)]
    checks["releases:log"] = [_releases(state.release, state.releases_behind)]
    if state.sink is not None:
        checks["sink:writes"] = [_sink(state.sink)]
    whole = all(check["status"] == Status.PASS for entries in checks.values() for check in entries)
    body: dict[str, Any] = {"version": version, "serviceId": "intentstream", "checks": checks}
    if state.release is not None:
        body["releaseId"] = state.release
    if reasons:
        return report(Status.FAIL, body | {"output": " ".join(reasons)})
    return report(Status.PASS if whole else Status.WARN, body)


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


def _loading(state: WorkerState) -> Check:
    if not any(state.tiers.values()):
        return component("models", Status.FAIL, "No model can answer yet.")
    if not state.loaded:
        return component("models", Status.WARN, "Some models are still being loaded.")
    return component("models", Status.PASS)


def _tier(name: str, *, able: bool) -> Check:
    return component(name, Status.PASS if able else Status.WARN)


def _flags(state: FlagsState) -> Check:
    """Describe the flags; old, damaged or unsaved ones go on deciding, so it is a `warn` at most."""
    reasons = []
    if state.age_seconds == math.inf:
        reasons.append("The changelog has not been read to its end yet.")
    elif state.age_seconds > STALE_SECONDS:
        reasons.append(f"Changes of the last {state.age_seconds:.0f} s may be missing.")
    if state.damaged:
        reasons.append(f"The newest record of {', '.join(sorted(state.damaged))} does not count.")
    if state.unsaved is not None:
        reasons.append(f"They cannot be kept for the next start: {state.unsaved}.")
    status = Status.WARN if reasons else Status.PASS
    return component("flags", status, " ".join(reasons) or None, observedValue=state.revision, observedUnit="revision")


def _releases(release: str | None, behind: Mapping[str, str]) -> Check:
    """Describe the releases; where one cannot serve, the one before it does, so it is a `warn` at most."""
    reasons = " ".join(f"{model}: {why}" for model, why in behind.items())
    return component("releases", Status.WARN if behind else Status.PASS, reasons or None, observedValue=release)


def _sink(state: SinkState) -> Check:
    """Describe the sink; where it is read-only, the log keeps what is to be written, so it is a `warn` at most."""
    status, reason = Status.PASS, None
    if state.fault is not None:
        status, reason = Status.WARN, f"It is read-only. {state.fault}"
    if not state.writing:
        return component("sink", status, reason)
    return component("sink", status, reason, observedValue=round(state.lag_seconds, 3), observedUnit="s")


def _dependency(name: str, result: CheckResult) -> Check:
    """Describe a dependency; one that is away is a `warn`, but for those that a worker cannot do without."""
    away = Status.FAIL if result.status is Status.FAIL and name in ESSENTIAL else Status.WARN
    check: Check = {
        "componentId": name,
        "componentType": "datastore",
        "status": Status.PASS if result.status is Status.PASS else away,
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
