"""Takes the snapshots: asks everything a worker knows of itself, none of which waits for anybody."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from health.probes import ready
from schemas.events import Outcome
from streams.console import concerns
from streams.console.readings import KEPT_SECONDS, Readings, quantile
from streams.console.snapshot import (
    CacheView,
    DependencyView,
    FlagsView,
    Point,
    Rates,
    ResultView,
    Snapshot,
    TierView,
    TurnView,
    WorkerView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from health.checks import CheckResult
    from health.metrics import Metrics
    from health.probes import WorkerState
    from models.classifier import Classifier
    from schemas.events import Presence
    from streams.console.readings import Reading
    from streams.console.recent import Noted
    from streams.observer import StreamObserver

RATE_SECONDS = 5.0
LATENCY_SECONDS = 10.0
TREND_SECONDS = 30.0
HISTORY_POINTS = 120

_BROKEN = frozenset({Outcome.TIMEOUT, Outcome.FAILED, Outcome.UNAVAILABLE})


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker's knowledge of itself is had. Nothing of it waits.

    Attributes:
        version: Of intentstream.
        worker_id: Who it is.
        metrics: What it counts.
        observer: What it remembers.
        state: What the probes ask.
        dependencies: The last answers of the dependencies.
        classifier: What serves.
        workers: Who is alive, by id.
    """

    version: str
    worker_id: str
    metrics: Metrics
    observer: StreamObserver
    state: Callable[[], WorkerState]
    dependencies: Callable[[], Mapping[str, CheckResult]]
    classifier: Callable[[], Classifier]
    workers: Callable[[], Mapping[str, Presence]]


class Sampler:
    """Takes snapshots; for one thread.

    Args:
        known: Where to ask.
        monotonic: Seconds.
        clock: Seconds of the epoch.

    Attributes:
        history: The last points of the small charts.
    """

    def __init__(
        self,
        known: Known,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._known = known
        self._monotonic = monotonic
        self._clock = clock
        self._started_at = clock()
        self._readings = Readings(known.metrics)
        self.history: deque[Point] = deque(maxlen=HISTORY_POINTS)

    def sample(self) -> Snapshot:
        """Return the worker as it is."""
        self._readings.take(self._monotonic())
        known, now, state = self._known, self._clock(), self._known.state()
        readiness = ready(state)
        lag = {partition: messages for (_, partition), messages in sorted(known.observer.lag.items())}
        rates = self._rates(sum(lag.values()) if known.observer.joined else None)
        flags = _flags(state)
        recent = known.observer.recent.newest_first()
        tiers = tuple(self._tiers(state, recent))
        dependencies = tuple(_dependency(name, result) for name, result in known.dependencies().items())
        behind = dict(state.releases_behind)
        brown_out = known.observer.brown_out
        minute = self._readings.before(KEPT_SECONDS)
        dead_letters = {code: int(count) for code, count in sorted(self._readings.now.dead_letters.items())}
        worries = [
            *concerns.not_ready(readiness.body.get("output")),
            *concerns.of_dependencies(dependencies),
            *concerns.of_tiers(tiers, up_seconds=now - self._started_at),
            *concerns.of_stream(rates, self._lag_then(now), self._dead_since(minute), brown_out=brown_out),
            *concerns.of_flags(flags),
            *concerns.of_releases(behind),
            *concerns.of_bugs(self._readings.now.unexpected - minute.unexpected),
        ]
        self.history.append(
            Point(now, rates.in_per_second, rates.answered_per_second, rates.p95_seconds, rates.lag),
        )
        return Snapshot(
            at=now,
            version=known.version,
            worker_id=known.worker_id,
            started_at=self._started_at,
            ready=readiness.passes,
            release=state.release,
            concerns=tuple(worries),
            rates=rates,
            tiers=tiers,
            cache=tuple(self._cache(minute)),
            lag=lag,
            dead_letters=dead_letters,
            brown_out=brown_out,
            flags=flags,
            dependencies=dependencies,
            releases_behind=behind,
            workers=tuple(_worker(presence) for _, presence in sorted(known.workers().items())),
            recent=tuple(_result(noted) for noted in recent),
        )

    def _rates(self, lag: int | None) -> Rates:
        now, then = self._readings.now, self._readings.before(RATE_SECONDS)
        seconds = now.at - then.at
        if not seconds:
            return Rates(lag=lag)
        lately = self._readings.before(LATENCY_SECONDS)
        histogram = self._known.metrics.end_to_end_seconds
        p50, p95 = (quantile(histogram, now.end_to_end, lately.end_to_end, share) for share in (0.5, 0.95))
        return Rates(
            in_per_second=(now.events_in - then.events_in) / seconds,
            answered_per_second=(sum(now.answered.values()) - sum(then.answered.values())) / seconds,
            p50_seconds=p50,
            p95_seconds=p95,
            lag=lag,
        )

    def _lag_then(self, now: float) -> int | None:
        """Return the lag of half a minute ago."""
        before = [point.lag for point in self.history if TREND_SECONDS <= now - point.at <= KEPT_SECONDS]
        return before[-1] if before else None

    def _dead_since(self, then: Reading) -> float:
        return sum(self._readings.now.dead_letters.values()) - sum(then.dead_letters.values())

    def _tiers(self, state: WorkerState, recent: list[Noted]) -> Iterator[TierView]:
        """Yield the tiers of the chain in its order, and then the others."""
        classifier, since = self._known.classifier(), self._known.observer.breakers.since
        chain, breakers, faults = list(state.tiers), classifier.breakers, _last_faults(recent)
        now, then = self._readings.now, self._readings.before(KEPT_SECONDS)
        total = sum(now.answered.values()) - sum(then.answered.values())
        for name in [*chain, *(other for other in classifier.tiers if other not in chain)]:
            histogram, buckets = self._known.metrics.classify_seconds, (now.tiers.get(name), then.tiers.get(name))
            asked, failed, answered = (
                after.get(name, 0.0) - before.get(name, 0.0)
                for after, before in (
                    (now.asked, then.asked),
                    (now.failed, then.failed),
                    (now.answered, then.answered),
                )
            )
            yield TierView(
                name=name,
                place=chain.index(name) if name in chain else None,
                missing=classifier.tiers[name].missing,
                breaker=breakers[name].value,
                breaker_since=since.get(name),
                share=answered / total if total else None,
                p50_seconds=quantile(histogram, *buckets, 0.5),
                p95_seconds=quantile(histogram, *buckets, 0.95),
                failing=failed / asked if asked else None,
                last_fault=faults.get(name),
            )

    def _cache(self, then: Reading) -> Iterator[CacheView]:
        for layer, (hits, misses) in sorted(self._readings.now.cache.items()):
            hits_then, misses_then = then.cache.get(layer, (0.0, 0.0))
            found = int(hits - hits_then)
            yield CacheView(layer=layer, asked=found + int(misses - misses_then), found=found)


def _flags(state: WorkerState) -> FlagsView:
    if state.flags is None:
        return FlagsView(revision=0, age_seconds=None, damaged=())
    age = state.flags.age_seconds
    return FlagsView(
        revision=state.flags.revision,
        age_seconds=age if math.isfinite(age) else None,
        damaged=tuple(sorted(state.flags.damaged)),
    )


def _dependency(name: str, result: CheckResult) -> DependencyView:
    return DependencyView(
        name=name,
        status=result.status.value,
        since=result.since.timestamp(),
        latency_seconds=result.latency_seconds,
        version=result.version,
        reason=result.reason,
    )


def _worker(presence: Presence) -> WorkerView:
    return WorkerView(
        id=presence.worker_id,
        partitions=len(presence.partitions),
        flags_revision=presence.flags_revision,
        release=presence.release,
        started_at=presence.started_at,
    )


def _last_faults(recent: list[Noted]) -> dict[str, str]:
    """Return why each tier failed last, by tier."""
    faults: dict[str, str] = {}
    for noted in recent:
        for attempt in noted.result.tried:
            if attempt.outcome in _BROKEN and attempt.reason:
                faults.setdefault(attempt.tier, attempt.reason)
    return faults


def _result(noted: Noted) -> ResultView:
    result = noted.result
    return ResultView(
        at=noted.at,
        place=None if result.source is None else f"{result.source.partition}/{result.source.offset}",
        intent=result.intent,
        confidence=round(result.confidence, 3),
        tier=result.tier,
        strategy=result.strategy,
        seconds=round(result.timings.queue_seconds + result.timings.classify_seconds, 5),
        cached=result.cached,
        degraded=result.degraded,
        tried=tuple(TurnView(tier=turn.tier, outcome=turn.outcome.value, reason=turn.reason) for turn in result.tried),
    )
