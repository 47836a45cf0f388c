"""Turns what happens in the stream and in the models into metrics, and remembers what probes ask."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from flags.rollouts.decision import Verdict
from health.probes import SinkState
from health.tiers import RecentTurns
from models.installer import MODELS
from streams.console.recent import OpenBreakers, RecentResults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from confluent_kafka import TopicPartition

    from flags.rollouts.status import RolloutStatus
    from health.lag import PartitionLag
    from health.metrics import Metrics
    from models.breaker import BreakerState
    from schemas.events import Attempt, Result
    from streams.batches import Batch
    from streams.spans import Tracing


class StreamObserver:
    """The one observer of a worker's exchange, intake, agent, chain and cache. Safe to call from any thread.

    Attributes:
        joined: Whether the group has given us an assignment, be it an empty one.
        partitions: Of the utterances, ours now.
        lag: Records behind the end, by topic and partition, as last asked.
        brown_out: Whether utterances are spared the dearer tiers.
        recent: The last results.
        breakers: Since when those are open that are.
        turns: How the tiers did lately.
        sink: How far this worker keeps Postgres up with the log.
    """

    def __init__(self, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self.joined = False
        self.partitions: tuple[int, ...] = ()
        self.lag: Mapping[tuple[str, int], int] = {}
        self.brown_out = False
        self.recent = RecentResults()
        self.breakers = OpenBreakers()
        self.turns = RecentTurns()
        self.sink = SinkState(writing=False)

    # From the exchange.

    def fetched(self, records: int) -> None:
        """Count a batch that was fetched."""
        self._metrics.events_in.inc(records)
        self._metrics.batch_events.observe([records])

    def committed(self, batch: Batch, seconds: float) -> None:
        """Count a batch that was answered, and time each of its records from end to end."""
        now_ms = time.time() * 1000
        self._metrics.commits.inc()
        self._metrics.events_out.inc(len(batch.records))
        self._metrics.commit_seconds.observe([seconds])
        for tier, timestamps_ms in batch.answered:
            self._metrics.end_to_end_seconds.observe((now_ms - np.array(timestamps_ms)) / 1000, tier)
        for spans in batch.spans:
            spans.committed(seconds)

    def aborted(self, reason: str) -> None:
        """Count a transaction that was taken back."""
        self._metrics.aborts.labels(reason).inc()

    def voided(self, records: int) -> None:
        """Count a batch of an older epoch."""
        self._metrics.batches_voided.inc()
        self._metrics.events_voided.inc(records)

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Show all partitions that are ours now."""
        self.joined = True
        self.partitions = tuple(sorted(partition.partition for partition in partitions))
        self._metrics.rebalances.inc()
        self._metrics.partitions_assigned.set(len(partitions))

    def broker_error(self, code: str) -> None:
        """Count what librdkafka reports and mends by itself."""
        self._metrics.broker_errors.labels(code).inc()

    # From the intake.

    def lagging(self, lag: Mapping[tuple[str, int], PartitionLag]) -> None:
        """Show how far behind each partition is."""
        self.lag = {place: behind.messages for place, behind in lag.items()}
        self._metrics.set_lag(lag)

    # From the agent.

    def answered(self, results: Sequence[Result]) -> None:
        """Count a batch's results."""
        self.recent.note(results)
        chosen: dict[tuple[str, str], list[Result]] = defaultdict(list)
        for result in results:
            chosen[result.tier, result.strategy].append(result)
        for (tier, strategy), group in chosen.items():
            self.turns.answered(tier, len(group))
            self._metrics.model_selection.labels(tier, strategy).inc(len(group))
            queued = [result.timings.queue_seconds for result in group]
            self._metrics.queue_seconds.observe(queued, tier)

    def dead_lettered(self, code: str) -> None:
        """Count a record that could not be processed."""
        self._metrics.events_dead_lettered.labels(code).inc()

    def feedback_withdrawn(self, lessons: int) -> None:
        """Count a request to forget, and the lessons that are no longer what they were."""
        self._metrics.forget_requests.inc()
        self._metrics.lessons_withdrawn.inc(lessons)

    def review_asked(self, reason: str) -> None:
        """Count an utterance that people are asked about, by why."""
        self._metrics.reviews_asked.labels(reason).inc()

    def review_dropped(self, reason: str) -> None:
        """Count an utterance that people would have been asked about had there not been too many, by why."""
        self._metrics.reviews_dropped.labels(reason).inc()

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""
        self._metrics.unexpected_errors.labels(guard).inc()

    def browned_out(self, *, active: bool) -> None:
        """Show whether utterances are spared the dearer tiers."""
        self.brown_out = active
        self._metrics.brown_out.set(active)

    def flag_evaluated(self, flag: str, variant: str, utterances: int) -> None:
        """Count what a flag was for so many utterances."""
        self._metrics.flag_usage.labels(flag, variant).inc(utterances)

    def flags_applied(self, revision: int) -> None:
        """Show the revision that decides from now on."""
        self._metrics.flags_revision.set(revision)

    def flag_record_refused(self, code: str) -> None:
        """Count a record of the changelog that does not count."""
        self._metrics.flag_records_refused.labels(code).inc()

    # From the workers' presences and the lease.

    def presence_refused(self) -> None:
        """Count a record of the workers' topic that is no presence."""
        self._metrics.presence_records_refused.inc()

    def lease_lapsed(self, *, renewed: bool) -> None:
        """Count that decisions waited until the flags were known to be the latest, or were made all the same."""
        self._metrics.lease_lapses.labels("renewed" if renewed else "unanswered").inc()

    # From the releases.

    def release_swapped(self, release: str) -> None:
        """Show what answers from now on."""
        self._metrics.release_swaps.inc()
        self._metrics.release.info({"release": release})

    def release_failed(self, model: str, code: str) -> None:
        """Count that a release could not be brought into service."""
        self._metrics.release_failures.labels(model, code).inc()

    def releases_behind(self, models: Mapping[str, str]) -> None:
        """Show for which models something else serves than was announced."""
        for model in MODELS:
            self._metrics.releases_behind.labels(model).set(model in models)

    def release_record_refused(self) -> None:
        """Count a record of the releases' log that is no release."""
        self._metrics.release_records_refused.inc()

    # From the guard, and from what is learnt.

    def correction_judged(self, verdict: str, code: str) -> None:
        """Count a correction by what came of it."""
        self._metrics.corrections_judged.labels(verdict, code).inc()

    def guarding(self, *, active: bool) -> None:
        """Show whether it is this worker that judges corrections."""
        self._metrics.guarding.set(active)

    def head_learning(self, *, active: bool) -> None:
        """Show whether it is this worker that retrains heads."""
        self._metrics.head_learning.set(active)

    def head_challenged(self, code: str, seconds: float) -> None:
        """Count a challenger by what came of it, and how long that took."""
        self._metrics.head_challenges.labels(code).inc()
        self._metrics.head_challenge_seconds.set(seconds)

    def network_learning(self, *, active: bool) -> None:
        """Show whether it is this worker that teaches the fine-tuned network."""
        self._metrics.network_learning.set(active)

    def network_challenged(self, code: str, seconds: float) -> None:
        """Count a taught network by what came of it, and how long that took."""
        self._metrics.network_challenges.labels(code).inc()
        self._metrics.network_challenge_seconds.set(seconds)

    def candidate_ready(self, stage: str | None) -> None:
        """Show whether a release is tried here, and how."""
        for each in ("shadow", "rollout"):
            self._metrics.candidate.labels(each).set(each == stage)

    def shadow_asked(self, outcome: str, texts: int) -> None:
        """Count utterances by whether the candidate agreed, differed or was not asked."""
        self._metrics.shadow_texts.labels(outcome).inc(texts)

    def trial_ended(self, code: str) -> None:
        """Count what came of a stage of a trial."""
        self._metrics.trials.labels(code).inc()

    def lessons_applied(self, revision: int, texts: int) -> None:
        """Show the revision of the corrections that decides from now on, and how many texts are known."""
        self._metrics.corrections_revision.set(revision)
        self._metrics.lesson_texts.set(texts)

    def lesson_refused(self) -> None:
        """Count a record of the corrections' log that is no lesson."""
        self._metrics.lesson_records_refused.inc()

    def nearness_skipped(self, texts: int) -> None:
        """Count texts of which it took too long to find out whether they are near to corrected ones."""
        self._metrics.nearness_skipped.inc(texts)

    # From the rollouts.

    def rollouts_judged(self, statuses: Sequence[RolloutStatus], behind_seconds: float) -> None:
        """Show the rollouts that this worker runs, and how old their evidence is."""
        self._metrics.set_rollouts(
            [(each.flag, each.rollout.step, each.percentage, each.verdict or Verdict.HOLD) for each in statuses],
            behind_seconds,
        )

    def rollout_moved(self, flag: str, verdict: Verdict) -> None:
        """Count that a flag climbed or was rolled back."""
        self._metrics.rollout_moves.labels(flag, verdict).inc()

    # From the sink.

    def sink_wrote(self, table: str, rows: int) -> None:
        """Count rows that were written."""
        self._metrics.sink_rows.labels(table).inc(rows)

    def sink_refused(self, table: str, code: str, rows: int) -> None:
        """Count records of which there will be no row."""
        self._metrics.sink_records_refused.labels(table, code).inc(rows)

    def sink_state(self, fault: str | None, lag_seconds: float) -> None:
        """Show how the sink is, which it is this worker's to fill."""
        self.sink = SinkState(writing=True, fault=fault, lag_seconds=lag_seconds)
        self._metrics.sink_read_only.set(fault is not None)
        self._metrics.sink_lag_seconds.set(lag_seconds)

    def sink_rests(self) -> None:
        """Show that it is not this worker that fills the sink."""
        self.sink = SinkState(writing=False)
        self._metrics.sink_read_only.set(0)
        self._metrics.sink_lag_seconds.set(0)

    # From the chain and the cache.

    def tier_called(self, attempt: Attempt, texts: int) -> None:
        """Show how a tier's turn went."""
        self.turns.turned(attempt)
        self._metrics.classify_seconds.observe([attempt.seconds], attempt.tier)
        self._metrics.tier_turns.labels(attempt.tier, attempt.outcome.value).inc(texts)
        if self._tracing is not None:
            self._tracing.tier_called(attempt, texts)

    def tier_answered(self, tier: str, texts: int) -> None:
        """Need nothing: results are counted with their strategy."""

    def breaker_changed(self, name: str, state: BreakerState) -> None:
        """Show a breaker's state."""
        self.breakers.changed(name, state)

    def cache_asked(self, level: str, hits: int, misses: int) -> None:
        """Count a batch's questions to a level of the cache."""
        self._metrics.cache_hits.labels(level).inc(hits)
        self._metrics.cache_misses.labels(level).inc(misses)
