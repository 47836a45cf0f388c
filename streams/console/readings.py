"""What happened in the last seconds, read off the worker's own metrics: counters now, held against counters then."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas.events import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from prometheus_client import Counter

    from health.histogram import BatchHistogram
    from health.metrics import Metrics

    Buckets = npt.NDArray[np.int64]

KEPT_SECONDS = 60.0

_FAILED = (Outcome.TIMEOUT, Outcome.FAILED)


class Reading(NamedTuple):
    """The counters at a moment, each since the worker started.

    Attributes:
        at: Monotonic seconds.
        events_in: Records fetched.
        answered: Utterances answered, from the stream and over HTTP, by tier.
        asked: Texts that a tier was asked for, by tier.
        failed: Those of them that it failed at, or was too slow for, by tier.
        dead_letters: By code.
        unexpected: Errors that only a guard has caught.
        cache: Answers found and not found, by layer.
        end_to_end: Buckets.
        tiers: Buckets of a tier's calls, by tier.
    """

    at: float
    events_in: float
    answered: Mapping[str, float]
    asked: Mapping[str, float]
    failed: Mapping[str, float]
    dead_letters: Mapping[str, float]
    unexpected: float
    cache: Mapping[str, tuple[float, float]]
    end_to_end: Buckets | None
    tiers: Mapping[str, Buckets]


class Readings:
    """The readings of the last minute. For one thread.

    Args:
        metrics: The worker's.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._kept: deque[Reading] = deque()

    @property
    def now(self) -> Reading:
        """Return the last reading."""
        return self._kept[-1]

    def take(self, at: float) -> None:
        """Read the metrics; `at` is the monotonic time."""
        metrics = self._metrics
        hits, misses = _by(metrics.cache_hits, "layer"), _by(metrics.cache_misses, "layer")
        self._kept.append(
            Reading(
                at=at,
                events_in=_sum(metrics.events_in),
                answered=_by(metrics.model_selection, "tier"),
                asked=_by(metrics.tier_turns, "tier"),
                failed=_by(metrics.tier_turns, "tier", outcome=_FAILED),
                dead_letters=_by(metrics.events_dead_lettered, "code"),
                unexpected=_sum(metrics.unexpected_errors),
                cache={layer: (hits.get(layer, 0.0), misses.get(layer, 0.0)) for layer in hits.keys() | misses.keys()},
                end_to_end=_together(metrics.end_to_end_seconds.counts()),
                tiers=metrics.classify_seconds.counts(),
            )
        )
        while at - self._kept[0].at > KEPT_SECONDS:
            self._kept.popleft()

    def before(self, seconds: float) -> Reading:
        """Return the oldest reading that is no older than so many seconds, seen from the last."""
        return next(reading for reading in self._kept if self.now.at - reading.at <= seconds)


def quantile(histogram: BatchHistogram, now: Buckets | None, then: Buckets | None, share: float) -> float | None:
    """Return a quantile of what was counted between two readings, as Prometheus' `histogram_quantile` has it.

    Args:
        histogram: Whose buckets these are.
        now: The buckets at the end; None: nothing was ever counted.
        then: Those at the beginning; None: likewise.
        share: Of the quantile, 0 to 1.

    Returns:
        In the histogram's unit; None if nothing was counted in between.
    """
    if now is None:
        return None
    cumulated = (now if then is None else now - then).cumsum()
    rank = share * cumulated[-1]
    if not rank:
        return None
    edges = histogram.edges
    bucket = int(np.searchsorted(cumulated, rank))
    if bucket >= len(edges):
        return float(edges[-1])
    low, below = (edges[bucket - 1], cumulated[bucket - 1]) if bucket else (0.0, 0)
    return float(low + (edges[bucket] - low) * (rank - below) / (cumulated[bucket] - below))


def _together(tiers: Mapping[str, Buckets]) -> Buckets | None:
    """Return the buckets of all tiers as one; None where nothing was ever counted."""
    return np.sum(list(tiers.values()), axis=0) if tiers else None


def _by(counter: Counter, label: str, **among: tuple[str, ...]) -> dict[str, float]:
    """Return a counter's values, summed by one of its labels; of the others, only those whose value is among some."""
    sums: dict[str, float] = {}
    for family in counter.collect():
        for sample in family.samples:
            labels = sample.labels
            if sample.name.endswith("_total") and all(labels[name] in values for name, values in among.items()):
                sums[labels[label]] = sums.get(labels[label], 0.0) + sample.value
    return sums


def _sum(counter: Counter) -> float:
    return sum(
        sample.value for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")
    )
