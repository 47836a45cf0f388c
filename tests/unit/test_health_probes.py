"""What each probe says in each state of a worker."""

from __future__ import annotations

import datetime as dt
import itertools
import math

import msgspec
import pytest

from health import probes
from health.checks import CheckResult, Status
from health.probes import FlagsState, WorkerState

SINCE = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
WELL = WorkerState(broker_reachable=True, assigned=True, tiers={"zero_shot": True, "rules": True}, release="r1")
UP = CheckResult(status=Status.PASS, since=SINCE, checked_at=SINCE, latency_seconds=0.0012, version="7.2")
DOWN = CheckResult(status=Status.FAIL, since=SINCE, checked_at=SINCE, reason="It did not answer within 2 s.")


def changed(**changes: object) -> WorkerState:
    return msgspec.structs.replace(WELL, **changes)


def test_a_worker_that_runs_is_live() -> None:
    assert (probes.live().http_status, probes.live().body) == (200, {"status": "pass"})


def test_a_well_worker_is_ready() -> None:
    assert (probes.ready(WELL).http_status, probes.ready(WELL).body) == (200, {"status": "pass"})


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (changed(broker_reachable=False), "The broker is away."),
        (changed(assigned=False), "The intake has no assignment yet."),
        (changed(tiers={"zero_shot": False, "rules": False}), "No tier can answer."),
        (changed(tiers={}), "No tier can answer."),
        (changed(stopping=True), "The worker is stopping."),
        (changed(committing_seconds=21.3), "A transaction has been under way for 21 s."),
        (changed(broker_reachable=False, assigned=False, stopping=True), "The worker is stopping. The broker is away."),
    ],
)
def test_a_worker_that_is_not_ready_says_why(state: WorkerState, reason: str) -> None:
    report = probes.ready(state)
    assert (report.http_status, report.body) == (503, {"status": "fail", "output": reason})


def test_one_tier_is_enough_to_be_ready() -> None:
    assert probes.ready(changed(tiers={"zero_shot": False, "rules": True})).passes


def test_a_worker_that_makes_do_warns() -> None:
    for state, dependencies in [(WELL, {"redis": DOWN}), (changed(tiers={"zero_shot": False, "rules": True}), {})]:
        report = probes.overall(state, dependencies, version="1.2.3")
        assert (report.http_status, report.body["status"]) == (200, "warn")


@pytest.mark.parametrize(("broker", "assigned", "tier", "redis"), list(itertools.product([True, False], repeat=4)))
def test_health_fails_exactly_when_the_worker_is_not_ready(
    *, broker: bool, assigned: bool, tier: bool, redis: bool
) -> None:
    state = changed(broker_reachable=broker, assigned=assigned, tiers={"rules": tier})
    report = probes.overall(state, {"redis": UP if redis else DOWN}, version="1.2.3")
    assert report.passes == probes.ready(state).passes == (broker and assigned and tier)


@pytest.mark.parametrize(
    ("flags", "status", "output"),
    [
        (FlagsState(revision=7, age_seconds=1.9), "pass", None),
        (FlagsState(revision=7, age_seconds=math.inf), "warn", "The changelog has not been read to its end yet."),
        (FlagsState(revision=7, age_seconds=12.4), "warn", "Changes of the last 12 s may be missing."),
        (
            FlagsState(revision=7, age_seconds=0.1, damaged=frozenset({"caching", "beta"})),
            "warn",
            "The newest record of beta, caching does not count.",
        ),
        (
            FlagsState(revision=7, age_seconds=0.1, unsaved="No space left on device"),
            "warn",
            "They cannot be kept for the next start: No space left on device.",
        ),
    ],
    ids=["known", "never read", "old", "damaged", "not kept"],
)
def test_health_says_how_well_the_flags_are_known(flags: FlagsState, status: str, output: str | None) -> None:
    report = probes.overall(changed(flags=flags), {}, version="1.2.3")
    (check,) = report.body["checks"]["flags:changelog"]
    assert (check["observedValue"], check["status"], check.get("output")) == (7, status, output)
    assert (report.http_status, report.body["status"]) == (200, status)


def test_health_describes_each_dependency() -> None:
    body = probes.overall(WELL, {"redis": UP, "postgres": DOWN}, version="1.2.3").body
    assert (body["version"], body["releaseId"]) == ("1.2.3", "r1")
    assert body["checks"]["tier:rules"][0]["status"] == "pass"
    assert body["checks"]["redis:availability"] == [
        {
            "componentId": "redis",
            "componentType": "datastore",
            "status": "pass",
            "since": "2026-01-02T03:04:05+00:00",
            "time": "2026-01-02T03:04:05+00:00",
            "observedValue": 0.0012,
            "observedUnit": "s",
            "version": "7.2",
        }
    ]
    assert body["checks"]["postgres:availability"][0]["output"] == "It did not answer within 2 s."


def test_a_worker_has_started_when_a_model_can_answer_whatever_is_away_outside() -> None:
    loading = probes.startup(changed(loaded=False, tiers={"zero_shot": False, "rules": False}))
    assert (loading.http_status, loading.body["checks"]["models:loaded"][0]["output"]) == (
        503,
        "No model can answer yet.",
    )
    answering = probes.startup(changed(loaded=False, tiers={"zero_shot": False, "rules": True}))
    assert (answering.http_status, answering.body["status"]) == (200, "warn")
    alone = probes.startup(changed(broker_reachable=False, assigned=False))
    assert (alone.http_status, alone.body["status"]) == (200, "warn")
    assert probes.startup(WELL).body["status"] == "pass"


@pytest.mark.parametrize(
    ("results", "http_status", "status"),
    [
        ({"kafka": UP, "redis": UP}, 200, "pass"),
        ({"kafka": UP, "redis": DOWN}, 200, "warn"),
        ({"kafka": DOWN, "redis": UP}, 503, "fail"),
        ({"kafka": CheckResult(status=Status.WARN, since=SINCE)}, 200, "warn"),
    ],
    ids=["all there", "no cache", "no broker", "not asked yet"],
)
def test_only_a_dependency_that_a_worker_cannot_do_without_makes_it_fail(
    results: dict[str, CheckResult], http_status: int, status: str
) -> None:
    report = probes.dependencies(results)
    assert (report.http_status, report.body["status"]) == (http_status, status)
    assert report.body["checks"].keys() == {f"{name}:availability" for name in results}


def test_the_flags_probe_says_what_decides_and_what_stands_above_it() -> None:
    known = FlagsState(revision=7, age_seconds=1.25, lag=0, overrides={"caching": False}, warnings=("A against B.",))
    report = probes.flags(known)
    (changelog,) = report.body["checks"]["flags:changelog"]
    assert (changelog["observedValue"], changelog["ageSeconds"], changelog["lagRecords"]) == (7, 1.25, 0)
    assert report.body["checks"]["flags:environment"][0]["flags"] == {"caching": False}
    assert (report.http_status, report.body["status"]) == (200, "warn")
    assert report.body["checks"]["flags:contradictions"][0]["output"] == "A against B."


def test_flags_that_were_never_read_have_no_age() -> None:
    (changelog,) = probes.flags(FlagsState(revision=0, age_seconds=math.inf)).body["checks"]["flags:changelog"]
    assert (changelog["status"], changelog["ageSeconds"], changelog["lagRecords"]) == ("warn", None, None)
