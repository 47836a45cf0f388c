"""A histogram that takes a whole batch at once.

prometheus-client's own takes one value a call, behind a lock: three of them for each event cost more than reading the
event. Here a batch of thousands is one numpy pass.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import CollectorRegistry


class BatchHistogram(Collector):
    """A histogram with one label, or none; safe to use from several threads."""

    def __init__(
        self,
        name: str,
        documentation: str,
        edges: Sequence[float],
        registry: CollectorRegistry,
        label: str | None = None,
    ) -> None:
        """Register the histogram.

        Args:
            name: Its name, with its base unit at the end.
            documentation: What it measures.
            edges: The buckets' upper bounds, ascending; the last bucket, without a bound, is added.
            registry: Where it is collected.
            label: The name of its one label.
        """
        self._name = name
        self._documentation = documentation
        self._label = label
        self._edges = np.asarray(edges, dtype=np.float64)
        self._bounds = [*(str(float(edge)) for edge in edges), "+Inf"]
        self._series: dict[str, _Series] = {}
        self._lock = threading.Lock()
        registry.register(self)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Return the buckets' upper bounds, but for the last bucket, which has none."""
        return self._edges

    def counts(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return how many values each bucket has counted, by label; shape (edges + 1,)."""
        with self._lock:
            return {label: series.counts.copy() for label, series in self._series.items()}

    def observe(self, values: npt.ArrayLike, label: str = "") -> None:
        """Count each of the values, any shape, in the bucket it belongs to.

        Args:
            values: In the metric's unit; less than 0, as between clocks that differ, counts as 0.
            label: The label's value; from a small, fixed set.
        """
        flat = np.asarray(values, dtype=np.float64).ravel().clip(min=0.0)
        counts = np.bincount(np.searchsorted(self._edges, flat), minlength=len(self._bounds))
        total = float(flat.sum())
        with self._lock:
            series = self._series.setdefault(label, _Series(len(self._bounds)))
            series.counts += counts
            series.total += total

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return what was counted, as Prometheus wants it: each bucket with all below it."""
        names = [] if self._label is None else [self._label]
        family = HistogramMetricFamily(self._name, self._documentation, labels=names)
        with self._lock:
            snapshot = [(label, series.counts.cumsum(), series.total) for label, series in self._series.items()]
        for label, cumulated, total in snapshot:
            buckets = list(zip(self._bounds, map(float, cumulated), strict=True))
            family.add_metric([label] if names else [], buckets, total)
        return [family]

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Return the name, so that a second metric of the same name is refused."""
        return [HistogramMetricFamily(self._name, self._documentation)]


class _Series:
    """The counts of one label's value, one a bucket."""

    def __init__(self, buckets: int) -> None:
        self.counts = np.zeros(buckets, dtype=np.int64)
        self.total = 0.0
