"""What `/health/models` answers, as a pure function of what a worker knows of its tiers and of who picks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from health.checks import Status
from health.report import Check, Report, component, report, worst

if TYPE_CHECKING:
    from collections.abc import Mapping

    from health.tiers import Failure, Latency

_CLOSED = "closed"


class TierState(msgspec.Struct, frozen=True, kw_only=True):
    """One tier.

    Attributes:
        wanted: Whether the flags put it into the chain, for users nobody singled out.
        missing: Why it cannot answer; None: it can.
        breaker: `closed`, `open` or `half_open`.
        release: Of the model that answers.
        tested: Whether it was put to the test after it was loaded; a server's model is, before each binding.
        fault: What that test found.
        latency: Of its recent calls.
        failure: Its last one.
    """

    wanted: bool
    missing: str | None
    breaker: str = _CLOSED
    release: str | None = None
    tested: bool = False
    fault: str | None = None
    latency: Latency | None = None
    failure: Failure | None = None


class RouterState(msgspec.Struct, frozen=True, kw_only=True):
    """Who picks the tiers, and by what.

    Attributes:
        strategy: For users nobody singled out.
        order: In which the tiers are asked.
        brown_out: Whether utterances wait too long, and the dearer tiers are spared.
        mix: The share of the recent utterances that each tier answered.
        window_seconds: How long ago is recent.
        sure: By tier, how sure its answer must be to stand alone.
        out_of_scope: By tier, how likely out-of-scope must be to be the answer.
    """

    strategy: str
    order: tuple[str, ...]
    brown_out: bool
    mix: Mapping[str, float]
    window_seconds: float
    sure: Mapping[str, float]
    out_of_scope: Mapping[str, float]


class ModelsState(msgspec.Struct, frozen=True, kw_only=True):
    """All that answers.

    Attributes:
        release: Of catalogue and models.
        tiers: By name.
        router: Who picks them.
    """

    release: str | None
    tiers: Mapping[str, TierState]
    router: RouterState


def models(state: ModelsState) -> Report:
    """Answer how the tiers are: `fail` if no wanted one can answer, `warn` if one cannot or is being spared."""
    checks = {f"tier:{name}": [_tier(name, tier)] for name, tier in state.tiers.items()}
    checks["router:strategy"] = [_router(state.router)]
    body: Check = {"checks": checks} if state.release is None else {"releaseId": state.release, "checks": checks}
    if not any(tier.wanted and tier.missing is None for tier in state.tiers.values()):
        return report(Status.FAIL, body | {"output": "No tier can answer."})
    return report(worst(check["status"] for entries in checks.values() for check in entries), body)


def _tier(name: str, tier: TierState) -> Check:
    """Describe a tier; the others stand in for one that is not well, so it is a `warn` at most."""
    reasons = []
    if tier.missing is not None:
        reasons.append(f"It cannot answer: {tier.missing}.")
    if tier.breaker != _CLOSED:
        reasons.append("It failed too often, and is left alone for a while.")
    if tier.fault is not None:
        reasons.append(f"It fails its self-test: {tier.fault}.")
    latency = tier.latency
    return component(
        name,
        Status.WARN if reasons and tier.wanted else Status.PASS,
        " ".join(reasons) or None,
        observedValue=None if latency is None else round(latency.p95_seconds, 6),
        observedUnit=None if latency is None else "s",
        wanted=tier.wanted,
        breaker=tier.breaker,
        release=tier.release,
        selfTest=("failed" if tier.fault else "passed") if tier.tested else None,
        latency=None if latency is None else _latency(latency),
        lastError=None if tier.failure is None else _failure(tier.failure),
    )


def _latency(latency: Latency) -> Check:
    return {
        "calls": latency.calls,
        "p50Seconds": round(latency.p50_seconds, 6),
        "p95Seconds": round(latency.p95_seconds, 6),
        "p99Seconds": round(latency.p99_seconds, 6),
    }


def _failure(failure: Failure) -> Check:
    said = {} if failure.reason is None else {"reason": failure.reason}
    return {"outcome": failure.outcome, "time": failure.at.isoformat(), **said}


def _router(router: RouterState) -> Check:
    return component(
        "router",
        Status.WARN if router.brown_out else Status.PASS,
        "Utterances wait too long: adaptive routing asks the first tier alone." if router.brown_out else None,
        observedValue=router.strategy,
        order=router.order,
        tierMix={tier: round(share, 4) for tier, share in router.mix.items()},
        windowSeconds=router.window_seconds,
        thresholds={
            tier: {"sure": round(sure, 4), "outOfScope": round(router.out_of_scope[tier], 4)}
            for tier, sure in router.sure.items()
        },
    )
