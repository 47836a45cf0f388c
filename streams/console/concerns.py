"""What of a snapshot somebody on call should know first, as pure functions of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from health.probes import STALE_SECONDS
from streams.console.snapshot import Concern

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.console.snapshot import DependencyView, FlagsView, Rates, TierView

SLOW_SECONDS = 0.5
"""The objective for the 95th percentile."""

FALLING_BEHIND_SECONDS = 5.0
"""So much work waiting is no longer the ripple of a batch."""

_FAILING = 0.05
_WARMING_UP_SECONDS = 120.0
"""A tier that is not loaded yet so soon after the start is nobody's concern."""

_ADVICE = {
    "kafka": "Answers over HTTP go on, unpublished; the stream goes on by itself where it stopped.",
    "redis": "Each worker remembers answers by itself meanwhile; nothing else depends on it.",
    "postgres": "Classification does not need it.",
}


def not_ready(why: str | None) -> Iterator[Concern]:
    """Yield what keeps the worker from being sent traffic, as the readiness probe says it; None: nothing does."""
    if why is not None:
        advice = "It goes on by itself once that is over."
        yield Concern(key="ready", level="fail", what="This worker is not ready", why=why, advice=advice)


def of_tiers(tiers: Sequence[TierView], *, up_seconds: float) -> Iterator[Concern]:
    """Yield which tiers of the chain cannot answer, or often fail."""
    for tier in tiers:
        if tier.place is None:
            continue
        others = "The other tiers of the chain answer in its place."
        if tier.missing is not None and up_seconds > _WARMING_UP_SECONDS:
            yield Concern(
                key=f"tier:{tier.name}",
                level="warn",
                what=f"{tier.name} is out: it is not loaded",
                why=tier.missing,
                advice=others,
            )
        elif tier.breaker != "closed":
            yield Concern(
                key=f"tier:{tier.name}",
                level="warn",
                what=f"{tier.name} is out: its breaker is open",
                why=tier.last_fault or "",
                advice=f"{others} It is tried again by itself every few seconds.",
                since=tier.breaker_since,
            )
        elif tier.failing is not None and tier.failing > _FAILING:
            yield Concern(
                key=f"failing:{tier.name}",
                level="warn",
                what=f"{tier.name} fails at {tier.failing:.0%} of its texts",
                why=tier.last_fault or "",
                advice=others,
            )


def of_dependencies(dependencies: Sequence[DependencyView]) -> Iterator[Concern]:
    """Yield which dependencies are away."""
    for dependency in dependencies:
        if dependency.status != "pass" and dependency.reason is not None:
            yield Concern(
                key=f"dependency:{dependency.name}",
                level="warn",
                what=f"{dependency.name} is away",
                why=dependency.reason,
                advice=_ADVICE.get(dependency.name, ""),
                since=dependency.since,
            )


def of_stream(rates: Rates, lag_then: int | None, dead_letters: float, *, brown_out: bool) -> Iterator[Concern]:
    """Yield whether the stream is slow, falls behind, or meets what it cannot read.

    Args:
        rates: As they are.
        lag_then: Records that waited half a minute ago; None: not known.
        dead_letters: Of the last minute.
        brown_out: Whether utterances are spared the dearer tiers.
    """
    lag = rates.lag or 0
    if lag_then is not None and lag > lag_then and lag > FALLING_BEHIND_SECONDS * (rates.answered_per_second or 1.0):
        yield Concern(
            key="lag",
            level="warn",
            what=f"The stream falls behind: {lag:,} utterances wait",
            why=f"Half a minute ago, {lag_then:,} did.",
            advice="Start another worker, or turn performance_mode on.",
        )
    elif rates.p95_seconds is not None and rates.p95_seconds > SLOW_SECONDS:
        yield Concern(
            key="slow",
            level="warn",
            what=f"Answers are slow: one of 20 takes {_duration(rates.p95_seconds)} or more",
            why=f"The objective is {_duration(SLOW_SECONDS)}.",
            advice="Compare the tiers; performance_mode asks the cheapest one alone.",
        )
    if brown_out:
        yield Concern(
            key="brown_out",
            level="warn",
            what="Utterances wait too long, so the first tier's answer stands",
            advice="Start another worker; it ends by itself.",
        )
    if dead_letters:
        records = "record" if dead_letters == 1 else "records"
        yield Concern(
            key="dead_letters",
            level="warn",
            what=f"{dead_letters:,.0f} {records} of the last minute could not be read",
            why="They are dead letters now.",
            advice="See what sends them; then replay them, below.",
        )


def of_flags(flags: FlagsView) -> Iterator[Concern]:
    """Yield whether flags may be out of date or damaged."""
    if flags.age_seconds is not None and flags.age_seconds > STALE_SECONDS:
        yield Concern(
            key="flags:age",
            level="warn",
            what=f"Changes of flags of the last {flags.age_seconds:.0f} s may be missing",
            why="Their log could not be read.",
            advice="The last state known decides.",
        )
    if flags.damaged:
        yield Concern(
            key="flags:damaged",
            level="warn",
            what=f"The newest record of {', '.join(flags.damaged)} does not count",
            advice="The last good state decides, and is put back.",
        )


def of_releases(behind: dict[str, str]) -> Iterator[Concern]:
    """Yield which releases were announced and do not serve."""
    for model, why in behind.items():
        yield Concern(
            key=f"release:{model}",
            level="warn",
            what=f"The announced release of {model} does not serve",
            why=why,
            advice="The one before it does.",
        )


def of_bugs(unexpected: float) -> Iterator[Concern]:
    """Yield whether errors came that nobody expected."""
    if unexpected:
        errors = "error" if unexpected == 1 else "errors"
        yield Concern(
            key="unexpected",
            level="warn",
            what=f"{unexpected:,.0f} unexpected {errors} in the last minute",
            advice="The log names each; download the bundle for a report.",
        )


def _duration(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
