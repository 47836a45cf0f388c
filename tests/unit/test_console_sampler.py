"""What a snapshot says of the last seconds, and which of it somebody on call is told first."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from health.checks import CheckResult, Status
from health.metrics import Metrics
from health.probes import FlagsState
from models.breaker import BreakerState
from schemas.events import Attempt, Outcome
from streams.console.readings import Readings, quantile
from streams.console.recent import MOST, OpenBreakers, RecentResults
from tests.kit.console import SINCE, Watched, result_of


@pytest.fixture
def watched() -> Watched:
    """Watched for two minutes already, with nothing to do."""
    watched = Watched()
    for _ in range(120):
        watched.sampler.sample()
        watched.now += 1
    return watched


def told(watched: Watched) -> list[str]:
    return [concern.key for concern in watched.sampler.sample().concerns]


# Numbers


def test_a_rate_is_of_the_last_seconds_only(watched: Watched) -> None:
    watched.observer.fetched(1_000)
    watched.answer(*[result_of()] * 800)
    watched.now += 4
    rates = watched.sampler.sample().rates
    assert rates.in_per_second == pytest.approx(200)
    assert rates.answered_per_second == pytest.approx(160)
    watched.now += 60
    watched.sampler.sample()
    watched.now += 1
    assert watched.sampler.sample().rates.in_per_second == 0


def test_the_first_snapshot_knows_no_rate_yet() -> None:
    rates = Watched().sampler.sample().rates
    assert (rates.in_per_second, rates.p95_seconds, rates.lag) == (None, None, 0)


def test_a_tiers_share_is_of_all_answers_of_the_last_minute(watched: Watched) -> None:
    watched.answer(*[result_of()] * 3, result_of(tier="zero_shot"))
    shares = {tier.name: tier.share for tier in watched.sampler.sample().tiers}
    assert shares == {"rules": 0.75, "zero_shot": 0.25, "distilbert": 0.0}
    watched.now += 61
    assert {tier.share for tier in watched.sampler.sample().tiers} == {None}


def test_a_quantile_is_found_between_the_edges_of_its_bucket() -> None:
    metrics = Metrics("1")
    histogram = metrics.end_to_end_seconds
    readings = Readings(metrics)
    histogram.observe([100.0] * 50)  # before
    readings.take(0.0)
    histogram.observe(np.linspace(0.010, 0.025, 100))
    readings.take(1.0)
    now, then = readings.now.end_to_end, readings.before(1.0).end_to_end
    assert quantile(histogram, now, then, 0.5) == pytest.approx(0.0175, rel=0.05)
    assert quantile(histogram, now, then, 0.95) == pytest.approx(0.02425, rel=0.05)
    assert quantile(histogram, now, now, 0.5) is None, "nothing came in between"
    assert quantile(histogram, None, None, 0.5) is None, "nothing ever came"


def test_what_is_longer_than_every_bucket_is_as_long_as_the_last() -> None:
    metrics = Metrics("1")
    metrics.end_to_end_seconds.observe([10_000.0])
    counts = metrics.end_to_end_seconds.counts()[""]
    assert quantile(metrics.end_to_end_seconds, counts, None, 0.5) == 300


def test_the_last_results_are_kept_and_no_more() -> None:
    recent = RecentResults(clock=lambda: 1.0)
    recent.note([result_of(confidence=number / 1000) for number in range(MOST + 10)])
    kept = [noted.result.confidence for noted in recent.newest_first()]
    assert kept == [number / 1000 for number in reversed(range(10, MOST + 10))]


def test_a_breaker_that_opens_again_was_open_all_the_time() -> None:
    times = iter([10.0, 20.0, 30.0])
    breakers = OpenBreakers(clock=lambda: next(times))
    breakers.changed("zero_shot", BreakerState.OPEN)
    breakers.changed("zero_shot", BreakerState.OPEN)
    assert breakers.since == {"zero_shot": 10.0}
    breakers.changed("zero_shot", BreakerState.CLOSED)
    assert breakers.since == {}


# Concerns


def test_nobody_is_told_anything_while_all_is_well(watched: Watched) -> None:
    assert told(watched) == []


def test_a_worker_that_is_not_ready_is_told_first_and_as_a_failure(watched: Watched) -> None:
    watched.state = msgspec.structs.replace(watched.state, broker_reachable=False)
    watched.dependencies["kafka"] = CheckResult(status=Status.FAIL, since=SINCE, checked_at=SINCE, reason="It hangs.")
    snapshot = watched.sampler.sample()
    first, second = snapshot.concerns
    assert (snapshot.ready, first.level, first.why) == (False, "fail", "The broker is away.")
    assert (second.what, second.why, second.since) == ("kafka is away", "It hangs.", SINCE.timestamp())


def test_a_tier_whose_breaker_is_open_is_out_and_it_is_said_why_and_since_when(watched: Watched) -> None:
    watched.breakers["zero_shot"] = BreakerState.OPEN
    watched.observer.breaker_changed("zero_shot", BreakerState.OPEN)
    failed = Attempt(tier="zero_shot", outcome=Outcome.FAILED, reason="RuntimeError")
    watched.answer(result_of(tried=(failed,)))
    (concern,) = watched.sampler.sample().concerns
    assert (concern.what, concern.why) == ("zero_shot is out: its breaker is open", "RuntimeError")
    assert concern.since is not None


def test_a_tier_that_the_flags_leave_out_is_nobodys_concern(watched: Watched) -> None:
    watched.breakers["distilbert"] = BreakerState.OPEN
    assert told(watched) == []


def test_a_tier_without_a_model_is_a_concern_once_it_should_have_one(watched: Watched) -> None:
    watched.missing["zero_shot"] = "its model is not loaded yet"
    starting = Watched()
    starting.missing["zero_shot"] = "its model is not loaded yet"
    assert told(starting) == []
    watched.now += 1
    assert told(watched) == ["tier:zero_shot"]


def test_a_tier_that_often_fails_is_told(watched: Watched) -> None:
    watched.metrics.tier_turns.labels("zero_shot", Outcome.ANSWERED.value).inc(90)
    watched.metrics.tier_turns.labels("zero_shot", Outcome.TIMEOUT.value).inc(10)
    assert told(watched) == ["failing:zero_shot"]
    watched.now += 61
    assert told(watched) == []


def test_lag_is_a_concern_when_it_grows_and_is_more_than_a_batch(watched: Watched) -> None:
    watched.observer.lag = {("t", 0): 400, ("t", 1): 200}
    (concern,) = watched.sampler.sample().concerns
    assert concern.key == "lag"
    assert "600" in concern.what
    for _ in range(61):
        watched.now += 1
        watched.sampler.sample()
    assert told(watched) == [], "it does not grow any more"


def test_slow_answers_are_told_against_the_objective(watched: Watched) -> None:
    watched.metrics.end_to_end_seconds.observe([0.4] * 100)
    assert told(watched) == []
    watched.metrics.end_to_end_seconds.observe([2.0] * 100)
    (concern,) = watched.sampler.sample().concerns
    assert (concern.key, concern.why) == ("slow", "The objective is 500 ms.")


def test_dead_letters_are_told_for_a_minute(watched: Watched) -> None:
    watched.observer.dead_lettered("invalid_json")
    snapshot = watched.sampler.sample()
    assert ([concern.key for concern in snapshot.concerns], snapshot.dead_letters) == (
        ["dead_letters"],
        {"invalid_json": 1},
    )
    watched.now += 61
    assert told(watched) == []


def test_brown_out_flags_releases_and_bugs_are_told(watched: Watched) -> None:
    watched.observer.browned_out(active=True)
    watched.state = msgspec.structs.replace(
        watched.state,
        flags=FlagsState(revision=7, age_seconds=40, damaged=frozenset({"caching"})),
        releases_behind={"catalogue": "it cannot be fetched"},
    )
    watched.observer.unexpected("routing")
    assert told(watched) == ["brown_out", "flags:age", "flags:damaged", "release:catalogue", "unexpected"]
