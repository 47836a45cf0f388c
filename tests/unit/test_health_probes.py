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
    ],
    ids=["known", "never read", "old", "damaged"],
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
