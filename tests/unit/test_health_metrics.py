"""What Prometheus reads from a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from health.histogram import BatchHistogram
from health.lag import PartitionLag
from health.metrics import BREAKER_STATES, EDGES_SECONDS, Metrics
from tests.kit.alerting import Promtool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_two_workers_in_one_process_count_apart(metrics: Metrics) -> None:
    other = Metrics("1.2.3")
    metrics.events_in.inc(5)
    assert value(metrics, "intentstream_events_in_total") == 5
    assert value(other, "intentstream_events_in_total") == 0


def test_metrics_have_the_names_that_operations_knows(metrics: Metrics) -> None:
    metrics.http_requests.labels("GET", "/health", "200").inc()
    metrics.http_request_seconds.labels("GET", "/health").observe(0.2)
    metrics.model_selection.labels("rules", "adaptive").inc(3)
    metrics.flag_usage.labels("caching", "on").inc()
    metrics.model_health.labels("rules").set(1)
    families = {family.name for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert families >= {
        "http_requests",
        "http_request_duration_seconds",
        "http_requests_active",
        "model_selection",
        "feature_flag_usage",
        "intent_classifier_model_health",
        "intentstream_build_info",
        "process_resident_memory_bytes",
    }
    assert value(metrics, "model_selection_total", tier="rules", strategy="adaptive") == 3


def test_durations_can_be_held_against_half_a_second(metrics: Metrics) -> None:
    metrics.queue_seconds.observe([0.4, 0.5, 0.6], "rules")
    assert value(metrics, "intentstream_queue_seconds_bucket", tier="rules", le="0.5") == 2


def test_a_breaker_is_in_the_one_state_that_it_is_in_when_somebody_looks(metrics: Metrics) -> None:
    states = ["closed"]
    metrics.watch_breaker("distilbert", lambda: states[-1])
    for state in BREAKER_STATES:
        states.append(state)
        shown = {
            each: value(metrics, "intentstream_breaker_state", tier="distilbert", state=each) for each in BREAKER_STATES
        }
        assert shown == {each: float(each == state) for each in BREAKER_STATES}


def test_the_lag_of_a_lost_partition_is_not_reported_any_more(metrics: Metrics) -> None:
    metrics.set_lag({("t", 0): PartitionLag(7, 0.5, 93), ("t", 1): PartitionLag(8, 0.5, 92)})
    metrics.set_lag({("t", 1): PartitionLag(9, 1.5, 91)})
    for name, expected in {"lag_messages": 9, "lag_seconds": 1.5, "committed_offset": 91}.items():
        assert value(metrics, f"intentstream_{name}", topic="t", partition="0") is None
        assert value(metrics, f"intentstream_{name}", topic="t", partition="1") == expected


def test_every_metric_is_described(metrics: Metrics) -> None:
    assert {each.name for each in metrics.described} == {
        each.name for each in metrics.registry.collect() if not each.name.startswith(("process_", "python_"))
    }


def test_prometheus_linter_finds_nothing_wrong(metrics: Metrics, promtool_program: Path, tmp_path: Path) -> None:
    for each in vars(metrics).values():
        if isinstance(each, BatchHistogram):
            each.observe([0.1], "x")
        elif isinstance(each, Counter | Gauge | Histogram) and each._labelnames:
            each.labels(*["x"] * len(each._labelnames))
    text = metrics.exposition()
    sampled = {sample.name for family in text_string_to_metric_families(text.decode()) for sample in family.samples}
    assert {name for each in metrics.described for name in each.samples} <= sampled
    assert Promtool(promtool_program, tmp_path).complaints("check", "metrics", stdin=text) == ""


def test_memory_is_held_against_what_there_may_be(metrics: Metrics) -> None:
    limit = value(metrics, "intentstream_memory_limit_bytes")
    assert limit is not None
    assert 2**20 < limit <= psutil.virtual_memory().total


def test_a_batch_is_counted_as_its_values_one_by_one_would_be() -> None:
    registry = CollectorRegistry()
    batch = BatchHistogram("a_seconds", "Of a batch.", EDGES_SECONDS, registry, label="tier")
    single = Histogram("b_seconds", "One by one.", ["tier"], registry=registry, buckets=EDGES_SECONDS)
    values = np.append(np.random.default_rng(1).exponential(1.0, 1_000), [*EDGES_SECONDS, 0.0, 1e9])
    batch.observe(values[:500], "rules")
    batch.observe(values[500:], "rules")
    for each in values:
        single.labels("rules").observe(float(each))
    for edge in (*map(str, EDGES_SECONDS), "+Inf"):
        labels = {"tier": "rules", "le": edge}
        assert registry.get_sample_value("a_seconds_bucket", labels) == registry.get_sample_value(
            "b_seconds_bucket", labels
        )
    for name in ("count", "sum"):
        assert registry.get_sample_value(f"a_seconds_{name}", {"tier": "rules"}) == pytest.approx(
            registry.get_sample_value(f"b_seconds_{name}", {"tier": "rules"})
        )


def test_an_empty_batch_counts_nothing() -> None:
    registry = CollectorRegistry()
    BatchHistogram("a_seconds", "Of a batch.", EDGES_SECONDS, registry).observe([])
    assert registry.get_sample_value("a_seconds_count") == 0


def test_a_second_metric_of_the_same_name_is_refused() -> None:
    registry = CollectorRegistry()
    BatchHistogram("a_seconds", "Of a batch.", EDGES_SECONDS, registry)
    with pytest.raises(ValueError, match="a_seconds"):
        BatchHistogram("a_seconds", "Of a batch.", EDGES_SECONDS, registry)


def test_a_duration_between_clocks_that_differ_counts_as_none() -> None:
    registry = CollectorRegistry()
    BatchHistogram("a_seconds", "Of a batch.", EDGES_SECONDS, registry).observe([-3.0, 1.0])
    assert registry.get_sample_value("a_seconds_sum") == 1.0
