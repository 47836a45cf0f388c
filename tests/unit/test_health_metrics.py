"""What Prometheus reads from a worker."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from health.histogram import BatchHistogram
from health.metrics import EDGES_SECONDS, Metrics


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


def test_a_breaker_is_in_one_state_at_a_time(metrics: Metrics) -> None:
    metrics.set_breaker("distilbert", "open")
    metrics.set_breaker("distilbert", "closed")
    states = {
        state: value(metrics, "intentstream_breaker_state", tier="distilbert", state=state)
        for state in ("closed", "half_open", "open")
    }
    assert states == {"closed": 1, "half_open": 0, "open": 0}


def test_a_breaker_state_that_does_not_exist_is_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="ajar"):
        metrics.set_breaker("distilbert", "ajar")


def test_the_lag_of_a_lost_partition_is_not_reported_any_more(metrics: Metrics) -> None:
    metrics.set_lag({("t", 0): 7, ("t", 1): 8})
    metrics.set_lag({("t", 1): 9})
    assert value(metrics, "intentstream_lag_messages", topic="t", partition="0") is None
    assert value(metrics, "intentstream_lag_messages", topic="t", partition="1") == 9


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
