"""The dashboards: one to see at a glance whether all is well, and two to find out why not."""

from __future__ import annotations

from infra.grafana.panels import Dashboard, Panel, Query

_RATE = "[$__rate_interval]"


def _quantiles(metric: str, selector: str = "", *, rare: bool = False) -> tuple[Query, ...]:
    """Return the percentiles of a histogram."""
    rate = f"sum by (le) (rate({metric}_bucket{selector}{_RATE}))"
    return tuple(Query(f"histogram_quantile(0.{share}, {rate})", f"p{share}", rare) for share in (50, 95, 99))


def _p95_by(metric: str, label: str) -> Query:
    return Query(f"histogram_quantile(0.95, sum by (le, {label}) (rate({metric}_bucket{_RATE})))", f"{{{{{label}}}}}")


def _rate(metric: str, *labels: str, rare: bool = False) -> Query:
    legend = " ".join(f"{{{{{label}}}}}" for label in labels) or metric.removeprefix("intentstream_")
    by = f" by ({', '.join(labels)})" if labels else ""
    return Query(f"sum{by} (rate({metric}{_RATE}))", legend, rare)


OVERVIEW = Dashboard(
    "intentstream-overview",
    "intentstream: is all well?",
    (
        Panel(
            "Workers",
            (
                Query('up{job="intentstream"}', "{{instance}} answers"),
                Query("intentstream_worker_ready", "{{instance}} is ready"),
            ),
        ),
        Panel(
            "What goes wrong",
            (
                Query("intentstream:errors:ratio_rate5m", "5 minutes"),
                Query("intentstream:errors:ratio_rate1h", "1 hour"),
                Query("intentstream:errors:ratio_rate6h", "6 hours"),
                Query("intentstream:errors:ratio_rate1d", "1 day"),
                Query("intentstream:errors:ratio_rate3d", "3 days"),
            ),
            "percentunit",
            line=0.05,
            help="By our fault. The objective is 0.1 %.",
        ),
        Panel("From utterance to result", _quantiles("intentstream_end_to_end_seconds"), "s", line=0.5),
        Panel(
            "Utterances",
            (_rate("intentstream_events_in_total"), _rate("intentstream_events_out_total")),
            "ops",
            help="Fetched and committed; what is fetched and never committed is fetched again.",
        ),
        Panel("Lag", (Query("intentstream:lag_seconds:max", "{{topic}}"),), "s", line=30),
        Panel("Dead letters", (_rate("intentstream_events_dead_lettered_total", "code", rare=True),), "ops"),
        Panel("Requests", (_rate("http_requests_total", "route", "status"),), "reqps"),
        Panel(
            "Requests to classify",
            _quantiles("http_request_duration_seconds", '{route="/api/v1/intents/classify"}', rare=True),
            "s",
            line=0.5,
        ),
        Panel("Requests under way", (Query("http_requests_active", "{{instance}}"),)),
        Panel("Dependencies", (Query("intentstream_dependency_up", "{{dependency}} of {{instance}}"),)),
        Panel(
            "Memory",
            (Query("process_resident_memory_bytes / intentstream_memory_limit_bytes", "{{instance}}"),),
            "percentunit",
            line=0.8,
        ),
        Panel("Bugs", (_rate("intentstream_unexpected_errors_total", "guard", rare=True),), "ops", line=0),
    ),
)

STREAM = Dashboard(
    "intentstream-stream",
    "intentstream: the stream",
    (
        Panel("Lag in messages", (Query("intentstream_lag_messages", "{{topic}} {{partition}}"),)),
        Panel("Lag in seconds", (Query("intentstream_lag_seconds", "{{topic}} {{partition}}"),), "s", line=30),
        Panel(
            "Progress",
            (
                Query(
                    f"sum by (topic, partition) (deriv(intentstream_committed_offset{_RATE}))",
                    "{{topic}} {{partition}}",
                ),
            ),
            "ops",
            help="Offsets committed each second; a partition at 0 with lag stands still.",
        ),
        Panel("Waiting", (_p95_by("intentstream_queue_seconds", "tier"),), "s", help="p95, to classification."),
        Panel("One tier's call", (_p95_by("intentstream_classify_seconds", "tier"),), "s", help="p95."),
        Panel("One transaction", _quantiles("intentstream_commit_seconds"), "s"),
        Panel("Records in a batch", _quantiles("intentstream_batch_events")),
        Panel(
            "Transactions",
            (_rate("intentstream_commits_total"), _rate("intentstream_aborts_total", "reason", rare=True)),
            "ops",
        ),
        Panel(
            "Fetched in vain",
            (_rate("intentstream_events_voided_total"), _rate("intentstream_batches_voided_total")),
            "ops",
        ),
        Panel(
            "Partitions",
            (
                Query("intentstream_partitions_assigned", "{{instance}}"),
                Query(f"increase(intentstream_rebalances_total{_RATE})", "rebalances of {{instance}}"),
            ),
        ),
        Panel("Late loops", (_p95_by("intentstream_event_loop_lag_seconds", "loop"),), "s", help="p95."),
        Panel(
            "Kept in Postgres",
            (
                Query("intentstream_sink_lag_seconds", "{{instance}} is behind"),
                Query("intentstream_sink_read_only", "{{instance}} cannot write"),
            ),
            "s",
        ),
        Panel("What librdkafka mended", (_rate("intentstream_broker_errors_total", "code", rare=True),), "ops"),
    ),
)

MODELS = Dashboard(
    "intentstream-models",
    "intentstream: models and flags",
    (
        Panel("Who answers", (_rate("model_selection_total", "tier", "strategy"),), "ops"),
        Panel(
            "Tiers",
            (
                Query("intent_classifier_model_health", "{{tier}} of {{instance}} can answer"),
                Query("intentstream_tier_wanted", "{{tier}} of {{instance}} is wanted"),
            ),
        ),
        Panel("How turns end", (_rate("intentstream_tier_texts_total", "tier", "outcome"),), "ops"),
        Panel(
            "Breakers that are not closed",
            (Query('intentstream_breaker_state{state!="closed"}', "{{tier}} of {{instance}} is {{state}}"),),
        ),
        Panel(
            "Answers remembered",
            (
                Query(
                    f"sum(rate(intentstream_cache_hits_total{_RATE}))"
                    f' / (sum(rate(intentstream_cache_hits_total{{layer="local"}}{_RATE}))'
                    f' + sum(rate(intentstream_cache_misses_total{{layer="local"}}{_RATE})))',
                    "of those asked for",
                ),
            ),
            "percentunit",
            line=0.3,
        ),
        Panel("Brown-out", (Query("intentstream_brown_out", "{{instance}}"),)),
        Panel(
            "Flags",
            (
                Query("intentstream_flags_revision", "revision of {{instance}}"),
                Query("intentstream_flags_lag_records", "lag of {{instance}}"),
                Query("intentstream_flags_damaged", "damaged in {{instance}}"),
                Query("intentstream_flags_warnings", "contradictions in {{instance}}"),
            ),
        ),
        Panel("Age of the flags", (Query("intentstream_flags_age_seconds", "{{instance}}"),), "s", line=30),
        Panel("Records refused", (_rate("intentstream_flag_records_refused_total", "code", rare=True),), "ops"),
        Panel("Flags asked", (_rate("feature_flag_usage_total", "flag", "variant"),), "ops"),
        Panel(
            "Releases",
            (
                Query("intentstream_release_info", "{{instance}}: {{release}}"),
                Query("intentstream_releases_behind", "{{instance}} is behind with {{model}}"),
            ),
        ),
        Panel(
            "Rollouts",
            (Query("intentstream_rollout_percentage", "{{flag}}", rare=True),),
            "percent",
            help="From the worker that runs them.",
        ),
    ),
)

DASHBOARDS = (OVERVIEW, STREAM, MODELS)
