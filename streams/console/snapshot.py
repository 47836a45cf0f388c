"""What the console is shown, once a second: one immutable picture of a worker. No text and no user is in it."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["fail", "warn"]


class Concern(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody on call should know.

    Attributes:
        key: What it is about; the same for as long as it goes on.
        level: `fail`: utterances are not answered; `warn`: they are, but not as they should be.
        what: It, in a sentence.
        why: What is known of the reason; empty: nothing.
        advice: What can be done.
        since: Seconds of the epoch; None: not known.
    """

    key: str
    level: Level
    what: str
    why: str = ""
    advice: str = ""
    since: float | None = None


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How the stream fares; None where nothing was measured yet, or nothing came.

    Attributes:
        in_per_second: Records fetched.
        answered_per_second: Utterances answered, those over HTTP too.
        p50_seconds: From a record's timestamp to its result's commit, of the last ten seconds.
        p95_seconds: Likewise.
        lag: Records that wait.
    """

    in_per_second: float | None = None
    answered_per_second: float | None = None
    p50_seconds: float | None = None
    p95_seconds: float | None = None
    lag: int | None = None


class Point(msgspec.Struct, frozen=True, array_like=True):
    """The stream at a moment, for the small charts; `at` is in seconds of the epoch."""

    at: float
    in_per_second: float | None
    answered_per_second: float | None
    p95_seconds: float | None
    lag: int | None


class TierView(msgspec.Struct, frozen=True, kw_only=True):
    """One tier over the last minute.

    Attributes:
        place: In the chain, for users nobody singled out; None: the flags leave it out.
        missing: Why it cannot answer; None: it can.
        breaker: Its state.
        breaker_since: Since when it is not closed.
        share: Of all answers, how many were its, 0 to 1.
        p50_seconds: Of its call on one batch.
        p95_seconds: Likewise.
        failing: Of the texts it was asked for, how many it failed at or was too slow for, 0 to 1.
        last_fault: Why it failed last, where one of the recent results says so.
    """

    name: str
    place: int | None
    missing: str | None
    breaker: str
    breaker_since: float | None
    share: float | None
    p50_seconds: float | None
    p95_seconds: float | None
    failing: float | None
    last_fault: str | None


class CacheView(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of the cache over the last minute."""

    layer: str
    asked: int
    found: int


class DependencyView(msgspec.Struct, frozen=True, kw_only=True):
    """What a dependency said last."""

    name: str
    status: str
    since: float
    latency_seconds: float | None
    version: str | None
    reason: str | None


class FlagsView(msgspec.Struct, frozen=True, kw_only=True):
    """How well the flags are known; `age_seconds` is None where their log was never read to its end."""

    revision: int
    age_seconds: float | None
    damaged: tuple[str, ...]


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A live worker of the group."""

    id: str
    partitions: int
    flags_revision: int
    release: str | None
    started_at: str


class TurnView(msgspec.Struct, frozen=True, kw_only=True):
    """One tier's turn at an utterance."""

    tier: str
    outcome: str
    reason: str | None


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """A result, without whoever it is for.

    Attributes:
        place: Partition and offset of the utterance; None: it came over HTTP.
        seconds: From the record's timestamp, or the request, to the answer.
    """

    at: float
    place: str | None
    intent: str | None
    confidence: float
    tier: str
    strategy: str
    seconds: float
    cached: bool
    degraded: bool
    tried: tuple[TurnView, ...]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        at: Seconds of the epoch.
        started_at: Of this worker, in seconds of the epoch.
        ready: Whether sending it traffic makes sense.
        concerns: What is wrong, the worst first.
        cache: By layer.
        lag: Records that wait, by partition of the utterances; those that are this worker's.
        dead_letters: Since the worker started, by kind of fault.
        releases_behind: Why another release serves than was announced, by model.
        recent: Results, the newest first.
    """

    at: float
    version: str
    worker_id: str
    started_at: float
    ready: bool
    release: str | None
    concerns: tuple[Concern, ...]
    rates: Rates
    tiers: tuple[TierView, ...]
    cache: tuple[CacheView, ...]
    lag: dict[int, int]
    dead_letters: dict[str, int]
    brown_out: bool
    flags: FlagsView
    dependencies: tuple[DependencyView, ...]
    releases_behind: dict[str, str]
    workers: tuple[WorkerView, ...]
    recent: tuple[ResultView, ...]
