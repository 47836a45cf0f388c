"""Every metric of a worker, in a registry of its own, so that two workers in one process do not mix.

What happens for each event is counted once a batch. Label values come from small, fixed sets: routes are templates,
tiers and codes are ours; no id and no text ever becomes one.
"""

from __future__ import annotations

import platform
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from health.histogram import BatchHistogram
from health.memory import memory_limit_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from health.lag import PartitionLag

EDGES_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""0.5 s is the objective for the p95; the long end is what an event waits after an outage."""

EDGES_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

ROLLOUT_VERDICTS = ("promote", "hold", "rollback")

BREAKER_STATES = ("closed", "half_open", "open")


class Described(NamedTuple):
    """A metric, for people and for what is held against the metrics there are."""

    name: str
    kind: str
    labels: tuple[str, ...]
    documentation: str

    @property
    def samples(self) -> tuple[str, ...]:
        """Return the names of its samples, as queries have them."""
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
        return tuple(self.name + suffix for suffix in suffixes.get(self.kind, ("",)))


class Metrics:
    """The metrics, by what they are about; each attribute is one of prometheus-client's or a `BatchHistogram`.

    Attributes:
        described: All of ours, in the order in which they were created.
    """

    def __init__(self, version: str) -> None:
        """Create every metric at zero.

        Args:
            version: Of intentstream.
        """
        # They would be a second series for each, which no alert and no panel reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs has no types
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = self._info("intentstream_build", "What is running.", "version", "python")
        build.info({"version": version, "python": platform.python_version()})
        self._create_http()
        self._create_answers()
        self._create_stream()
        self._create_worker()
        self._create_rollouts()
        self._create_learning()
        self._create_sink()

    def exposition(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self.registry)

    def watch_breaker(self, tier: str, state: Callable[[], str]) -> None:
        """Have whoever reads the metrics ask which state a breaker is in: time alone makes an open one half-open.

        Args:
            tier: Whose it is, or `redis`.
            state: Returns one of `BREAKER_STATES`; must not wait.
        """
        for each in BREAKER_STATES:
            self.breaker_state.labels(tier, each).set_function(partial(_is, state, each))

    def set_lag(self, lags: Mapping[tuple[str, int], PartitionLag]) -> None:
        """Say how far behind this worker is, by topic and partition; partitions it lost are no longer reported."""
        for gauge in (self.lag_messages, self.lag_seconds, self.committed_offset):
            gauge.clear()
        for (topic, partition), lag in lags.items():
            self.lag_messages.labels(topic, str(partition)).set(lag.messages)
            self.lag_seconds.labels(topic, str(partition)).set(lag.seconds)
            self.committed_offset.labels(topic, str(partition)).set(lag.committed)

    def set_rollouts(self, rollouts: Iterable[tuple[str, int, float, str]], evidence_lag_seconds: float) -> None:
        """Show the rollouts that this worker runs, and no others.

        Args:
            rollouts: Of each the flag, its step, its percentage, and the verdict, one of `ROLLOUT_VERDICTS`.
            evidence_lag_seconds: How old what is judged by may be.
        """
        for gauge in (self.rollout_step, self.rollout_percentage, self.rollout_verdict):
            gauge.clear()
        for flag, step, percentage, verdict in rollouts:
            self.rollout_step.labels(flag).set(step)
            self.rollout_percentage.labels(flag).set(percentage)
            for each in ROLLOUT_VERDICTS:
                self.rollout_verdict.labels(flag, each).set(each == verdict)
        self.rollout_evidence_lag_seconds.set(evidence_lag_seconds)

    def _create_http(self) -> None:
        self.http_requests = self._counter(
            "http_requests", "Requests answered, by route template.", "method", "route", "status"
        )
        self.http_request_seconds = self._histogram(
            "http_request_duration_seconds", "From the request's headers to the end of the answer.", "method", "route"
        )
        self.http_requests_active = self._gauge("http_requests_active", "Requests being answered.")
        self.http_requests_limited = self._counter(
            "intentstream_requests_limited",
            "Requests refused because their caller, known by token or by address, asks too often.",
            "by",
        )

    def _create_answers(self) -> None:
        self.model_selection = self._counter(
            "model_selection", "Utterances answered, by the tier that answered.", "tier", "strategy"
        )
        self.model_health = self._gauge("intent_classifier_model_health", "1: the tier can answer; 0: not.", "tier")
        self.tier_wanted = self._gauge(
            "intentstream_tier_wanted", "1: the flags put the tier into the chain for users nobody singled out.", "tier"
        )
        self.breaker_state = self._gauge(
            "intentstream_breaker_state", "1 for the state a tier's breaker is in.", "tier", "state"
        )
        self.tier_turns = self._counter(
            "intentstream_tier_texts", "Texts a tier was asked for, by how its turn ended.", "tier", "outcome"
        )
        self.brown_out = self._gauge(
            "intentstream_brown_out", "1: utterances wait too long, and adaptive routing asks the rules alone; 0: not."
        )
        self.flag_usage = self._counter("feature_flag_usage", "Evaluations of a flag.", "flag", "variant")
        self.flags_revision = self._gauge("intentstream_flags_revision", "The last flag change that was applied.")
        self.flag_records_refused = self._counter(
            "intentstream_flag_records_refused", "Records of the flags changelog that do not count.", "code"
        )
        self.flags_age_seconds = self._gauge(
            "intentstream_flags_age_seconds", "For how long newer flag changes might have been missed."
        )
        self.flags_lag_records = self._gauge(
            "intentstream_flags_lag_records", "Offsets of the flags changelog not read yet, as last asked."
        )
        self.flags_damaged = self._gauge(
            "intentstream_flags_damaged", "Flags whose newest record does not count, until it is put back."
        )
        self.flags_warnings = self._gauge(
            "intentstream_flags_warnings", "Flags that contradict each other, and names in the environment of no flag."
        )
        self.release = self._info("intentstream_release", "The model release that answers.", "release")
        self.release_swaps = self._counter("intentstream_release_swaps", "Times that another release came to serve.")
        self.release_failures = self._counter(
            "intentstream_release_failures", "Releases that could not be brought into service.", "model", "code"
        )
        self.releases_behind = self._gauge(
            "intentstream_releases_behind", "1: something else serves than was announced; 0: not.", "model"
        )
        self.release_records_refused = self._counter(
            "intentstream_release_records_refused", "Records of the releases' log that are no release."
        )
        self.cache_hits = self._counter("intentstream_cache_hits", "Answers found in a cache.", "layer")
        self.cache_misses = self._counter("intentstream_cache_misses", "Answers not found in a cache.", "layer")

    def _create_stream(self) -> None:
        self.events_in = self._counter("intentstream_events_in", "Records fetched, answered or not.")
        self.events_out = self._counter("intentstream_events_out", "Results committed.")
        self.events_dead_lettered = self._counter(
            "intentstream_events_dead_lettered", "Records committed to the dead-letter topic.", "code"
        )
        self.batch_events = self._batches("intentstream_batch_events", "Records in a batch.", edges=EDGES_EVENTS)
        self.queue_seconds = self._batches(
            "intentstream_queue_seconds", "From a record's timestamp to the start of classification.", "tier"
        )
        self.classify_seconds = self._batches("intentstream_classify_seconds", "One tier's call on one batch.", "tier")
        self.end_to_end_seconds = self._batches(
            "intentstream_end_to_end_seconds", "From a record's timestamp to its result's commit.", "tier"
        )
        self.commit_seconds = self._batches("intentstream_commit_seconds", "One batch's transaction.")
        self.commits = self._counter("intentstream_commits", "Transactions committed.")
        self.aborts = self._counter("intentstream_aborts", "Transactions aborted, by Kafka's error.", "reason")
        self.rebalances = self._counter("intentstream_rebalances", "Changes of this worker's partitions.")
        self.partitions_assigned = self._gauge("intentstream_partitions_assigned", "Partitions that are ours now.")
        self.broker_errors = self._counter(
            "intentstream_broker_errors", "What librdkafka reported and mended itself, by Kafka's error.", "code"
        )
        self.batches_voided = self._counter(
            "intentstream_batches_voided", "Batches dropped unanswered, to be fetched again by whoever owns them."
        )
        self.events_voided = self._counter("intentstream_events_voided", "Records in batches dropped unanswered.")
        self.lag_messages = self._gauge(
            "intentstream_lag_messages", "Offsets whose answer is not committed yet.", "topic", "partition"
        )
        self.lag_seconds = self._gauge(
            "intentstream_lag_seconds", "For how long the first of those has waited, at most.", "topic", "partition"
        )
        self.committed_offset = self._gauge(
            "intentstream_committed_offset", "The first offset without a committed answer.", "topic", "partition"
        )

    def _create_worker(self) -> None:
        self.ready = self._gauge("intentstream_worker_ready", "1: the readiness probe says yes; 0: no.")
        self.loop_lag_seconds = self._batches(
            "intentstream_event_loop_lag_seconds", "How late an event loop was, looked at twice a second.", "loop"
        )
        self.memory_limit_bytes = self._gauge(
            "intentstream_memory_limit_bytes",
            "Memory that this process may use: its control group's, or the machine's.",
        )
        self.memory_limit_bytes.set_function(memory_limit_bytes)  # a platform may change it while we run
        self.workers_live = self._gauge("intentstream_workers_live", "Workers heard of lately, this one included.")
        self.presence_records_refused = self._counter(
            "intentstream_presence_records_refused", "Records of the workers' topic that are no presence."
        )
        self.lease_lapses = self._counter(
            "intentstream_lease_lapses",
            "Times that decisions waited because others may have taken this worker for dead.",
            "outcome",
        )
        self.dependency_up = self._gauge("intentstream_dependency_up", "1: it answered its last check.", "dependency")
        self.unexpected_errors = self._counter(
            "intentstream_unexpected_errors", "Errors only a guard that catches all has caught: bugs.", "guard"
        )

    def _create_rollouts(self) -> None:
        """Create what the one worker shows that runs the rollouts; flags are at most a thousand."""
        self.rollout_step = self._gauge("intentstream_rollout_step", "At which step a rollout stands, from 0.", "flag")
        self.rollout_percentage = self._gauge(
            "intentstream_rollout_percentage", "How many of the users have a flag under rollout.", "flag"
        )
        self.rollout_verdict = self._gauge(
            "intentstream_rollout_verdict", "1 for what the evidence says is to be done.", "flag", "verdict"
        )
        self.rollout_moves = self._counter(
            "intentstream_rollout_moves", "Times that a flag climbed or was rolled back.", "flag", "verdict"
        )
        self.rollout_evidence_lag_seconds = self._gauge(
            "intentstream_rollout_evidence_lag_seconds", "How old the evidence may be; 0 where no rollout is run."
        )

    def _create_learning(self) -> None:
        self.corrections_judged = self._counter(
            "intentstream_corrections_judged", "Corrections by people, by what came of them and why.", "verdict", "code"
        )
        self.forget_requests = self._counter(
            "intentstream_forget_requests", "Requests to take back what a person's corrections taught, done."
        )
        self.lessons_withdrawn = self._counter(
            "intentstream_lessons_withdrawn", "Texts of which something else is known since, or nothing."
        )
        self.reviews_asked = self._counter(
            "intentstream_reviews_asked", "Utterances that people were asked about, by why.", "reason"
        )
        self.reviews_dropped = self._counter(
            "intentstream_reviews_dropped", "Utterances that they were not, for too many came in a second.", "reason"
        )
        self.guarding = self._gauge("intentstream_guarding", "1: it is this worker that judges corrections; 0: not.")
        self.head_learning = self._gauge(
            "intentstream_head_learning", "1: it is this worker that retrains heads; 0: not."
        )
        self.head_challenges = self._counter(
            "intentstream_head_challenges",
            "Heads that learnt corrections, by whether they were released or why not.",
            "code",
        )
        self.head_challenge_seconds = self._gauge(
            "intentstream_head_challenge_seconds", "How long the last one took to be made and judged."
        )
        self.network_learning = self._gauge(
            "intentstream_network_learning", "1: it is this worker that teaches the fine-tuned network; 0: not."
        )
        self.network_challenges = self._counter(
            "intentstream_network_challenges",
            "Fine-tuned networks that were taught corrections, by whether they were released or why not.",
            "code",
        )
        self.network_challenge_seconds = self._gauge(
            "intentstream_network_challenge_seconds", "How long the last one took to be made and judged."
        )
        self.candidate = self._gauge(
            "intentstream_candidate",
            "1: a release is tried here beside what serves, in its shadow or rolled out.",
            "stage",
        )
        self.shadow_texts = self._counter(
            "intentstream_shadow_texts",
            "Utterances by whether a candidate would have answered the same, or was not asked.",
            "outcome",
        )
        self.trials = self._counter("intentstream_trials", "Stages of trials that ended, by what came of them.", "code")
        self.corrections_revision = self._gauge(
            "intentstream_corrections_revision", "The last change of what corrections teach that was applied."
        )
        self.lesson_texts = self._gauge("intentstream_lesson_texts", "Texts that corrections taught or may yet.")
        self.lesson_records_refused = self._counter(
            "intentstream_lesson_records_refused", "Records of the corrections' log that are no lesson."
        )
        self.nearness_skipped = self._counter(
            "intentstream_nearness_skipped",
            "Texts of which it took too long to find out whether they are near to corrected ones.",
        )

    def _create_sink(self) -> None:
        """Create what the one worker shows that writes to Postgres."""
        self.sink_rows = self._counter("intentstream_sink_rows", "Rows written to Postgres.", "table")
        self.sink_records_refused = self._counter(
            "intentstream_sink_records_refused", "Records that became no row in Postgres.", "table", "code"
        )
        self.sink_read_only = self._gauge(
            "intentstream_sink_read_only", "1: this worker is to write to Postgres and cannot; 0: not."
        )
        self.sink_lag_seconds = self._gauge(
            "intentstream_sink_lag_seconds", "For how long the first record that is no row yet has waited, at most."
        )

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        self._describe(name, "counter", labels, documentation)
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        self._describe(name, "gauge", labels, documentation)
        return Gauge(name, documentation, labels, registry=self.registry)

    def _info(self, name: str, documentation: str, *said: str) -> Info:
        self._describe(name, "info", said, documentation)
        return Info(name, documentation, registry=self.registry)

    def _histogram(self, name: str, documentation: str, *labels: str) -> Histogram:
        self._describe(name, "histogram", labels, documentation)
        return Histogram(name, documentation, labels, registry=self.registry, buckets=EDGES_SECONDS)

    def _batches(
        self, name: str, documentation: str, label: str | None = None, *, edges: Sequence[float] = EDGES_SECONDS
    ) -> BatchHistogram:
        self._describe(name, "histogram", () if label is None else (label,), documentation)
        return BatchHistogram(name, documentation, edges, self.registry, label=label)

    def _describe(self, name: str, kind: str, labels: Sequence[str], documentation: str) -> None:
        self.described.append(Described(name, kind, tuple(labels), documentation))


def _is(state: Callable[[], str], named: str) -> float:
    return float(state() == named)
