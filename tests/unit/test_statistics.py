"""Verdicts that may be asked for at any time: their formulas against closed forms, their promises by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta

from flags.statistics import coin, normal, sample_ratio
from flags.statistics.affected import compare_affected, count_meetings, evidence
from flags.statistics.arm import Arm
from flags.statistics.guardrail import Verdict, judge, split_alpha
from flags.statistics.power import utterances_for_mean, utterances_for_rate
from flags.statistics.simulation import Population, draw_stream, fail_whole_calls, meetings_at, z_scores
from flags.statistics.spread import compare_cost, compare_latency, p95_seconds

ALPHA = 0.05
LOOKS = np.arange(200, 20_001, 200)


def arms_of(stream_seed: int, **kinds: float) -> tuple[Arm, Arm]:
    """Return two arms that have seen 4,000 utterances of 800 users."""
    random = np.random.default_rng(stream_seed)
    treated, control = Arm(), Arm()
    slower, ratio = kinds.get("slower", 1.0), kinds.get("ratio", 1.0)
    for place in range(4_000):
        user = int(random.integers(800))
        is_treated = user % 2 == 0
        (treated if is_treated else control).add(
            f"user-{user}",
            at_seconds=place * 0.05,
            latency_seconds=float(random.lognormal(-4, 0.5)) * (slower if is_treated else 1.0),
            cost_seconds=float(random.lognormal(-6, 0.5)),
            failed=bool(random.random() < 0.02 * (ratio if is_treated else 1.0)),
        )
    return treated, control


# The coin.


def test_the_e_value_is_the_likelihood_averaged_over_the_prior_divided_by_the_hypothesis() -> None:
    heads, tails, bias = 13, 20, 0.25
    prior = beta(coin.PRIOR_THROWS * bias, coin.PRIOR_THROWS * (1 - bias))

    def weighted(q: float) -> float:
        return float(prior.pdf(q)) * (q / bias) ** heads * ((1 - q) / (1 - bias)) ** tails

    either, _ = quad(weighted, 0, 1)
    more = quad(weighted, bias, 1)[0] / float(prior.sf(bias))
    assert float(coin.log_e_either(heads, tails, bias)) == pytest.approx(math.log(either))
    assert float(coin.log_e_more(heads, tails, bias)) == pytest.approx(math.log(more))


@given(throws=st.integers(1, 60), bias=st.floats(0.02, 0.98))
def test_a_bet_is_fair_the_expected_e_value_of_a_true_hypothesis_is_one(throws: int, bias: float) -> None:
    heads = np.arange(throws + 1)
    log_chance = (
        np.array([math.lgamma(throws + 1) - math.lgamma(k + 1) - math.lgamma(throws - k + 1) for k in heads])
        + heads * math.log(bias)
        + (throws - heads) * math.log1p(-bias)
    )
    for log_e in (coin.log_e_either, coin.log_e_more):
        expected = np.exp(log_chance + log_e(heads, throws - heads, bias)).sum()
        assert expected == pytest.approx(1.0, rel=1e-6)


@given(heads=st.integers(0, 500), tails=st.integers(0, 500), bias=st.floats(0.05, 0.95))
def test_the_interval_holds_exactly_the_biases_that_are_not_rejected(heads: int, tails: int, bias: float) -> None:
    low, high = coin.interval(heads, tails, 0.5, ALPHA)
    rejected = float(coin._log_mixture(heads, tails, 0.5) - coin._log_likelihood(heads, tails, bias)) >= math.log(
        1 / ALPHA
    )
    assert rejected != (low < bias < high) or min(abs(bias - low), abs(bias - high)) < 1e-9


# The sample ratio.


def test_the_sample_ratio_of_two_arms_is_a_coin_whose_prior_is_surer_of_itself() -> None:
    prior = sample_ratio._PRIOR_USERS
    expected = math.lgamma(prior) - math.lgamma(prior + 1_000)
    for share, users in ((0.2, 260), (0.8, 740)):
        expected += math.lgamma(prior * share + users) - math.lgamma(prior * share) - users * math.log(share)
    assert float(sample_ratio.log_e((260, 740), (20, 80))) == pytest.approx(expected)


def test_a_split_that_chance_would_hardly_make_is_found_and_one_that_it_makes_is_not() -> None:
    assert sample_ratio.p_value((24_000, 26_000), (50, 50)) < sample_ratio.ALPHA
    assert sample_ratio.p_value((25_100, 24_900), (50, 50)) > 0.5
    assert sample_ratio.p_value((0, 0, 0), (50, 25, 25)) == 1.0


# The arms.


def test_arms_come_to_the_same_numbers_in_whichever_order_and_portions_they_are_read() -> None:
    random = np.random.default_rng(1)
    events = [
        (f"user-{random.integers(50)}", float(place), float(random.lognormal(-4, 1)), bool(random.random() < 0.1))
        for place in range(500)
    ]

    def read(some: list[tuple[str, float, float, bool]]) -> Arm:
        arm = Arm()
        for user, at_seconds, latency, failed in some:
            arm.add(user, at_seconds=at_seconds, latency_seconds=latency, failed=failed)
            if failed:
                arm.correct(user, at_seconds=at_seconds)
        return arm

    forward, backward, merged = read(events), read(events[::-1]), read(events[::2])
    merged.merge(read(events[1::2]))
    control = read([(f"other-{user}", at_seconds, 0.01, at_seconds % 7 == 0) for user, at_seconds, _, _ in events])
    for metric in ("error_rate", "correction_rate"):
        findings = {
            (arm.users, arm.utterances, judge(metric, arm, control, allocation=0.5, tolerated_ratio=1, alpha=ALPHA))
            for arm in (forward, backward, merged)
        }
        assert len(findings) == 1
    assert p95_seconds(forward) == p95_seconds(backward) == p95_seconds(merged)


def test_a_percentile_is_within_a_bin_of_the_true_one() -> None:
    arm, random = Arm(), np.random.default_rng(2)
    seconds = random.lognormal(-3, 1, 5_000)
    for place, latency in enumerate(seconds):
        arm.add(str(place), at_seconds=place, latency_seconds=float(latency))
    assert p95_seconds(arm) == pytest.approx(float(np.quantile(seconds, 0.95)), rel=0.03)


# Who is met.


def test_users_who_were_first_met_in_one_moment_are_one_throw_of_the_coin() -> None:
    treated, control = Arm(), Arm()
    for place in range(300):
        treated.add(f"t-{place}", at_seconds=5.01, latency_seconds=0.1, failed=True)
        control.add(f"c-{place}", at_seconds=place, latency_seconds=0.1)
    met = count_meetings(treated.incidents("error_rate"), control.incidents("error_rate"))
    assert (met.treated[0], met.control[0]) == (1, 0)
    finding = judge("error_rate", treated, control, allocation=0.5, tolerated_ratio=1, alpha=ALPHA)
    assert finding.verdict is Verdict.UNDECIDED


def test_a_few_users_to_whom_it_happens_again_and_again_are_enough() -> None:
    treated, control = Arm(), Arm()
    for place in range(1_200):
        user = place % 50
        arm = treated if user % 4 == 0 else control
        failed = arm is treated or place % 37 == 1
        arm.add(f"user-{user}", at_seconds=place, latency_seconds=0.1, failed=failed)
    finding = judge("error_rate", treated, control, allocation=0.25, tolerated_ratio=1, alpha=0.01)
    assert finding.verdict is Verdict.BREACH


def test_streams_are_counted_as_arms_count() -> None:
    population = Population(users=150, heaviness=1.0, proneness=1.0)
    stream = draw_stream(np.random.default_rng(3), utterances=2_000, share=0.3, rate=0.1, population=population)
    treated, control = Arm(), Arm()
    for place, (user, is_treated, failed) in enumerate(zip(*map(np.ndarray.tolist, stream), strict=True)):
        arm = treated if is_treated else control
        arm.add(str(user), at_seconds=(place + 0.5) * 0.02, latency_seconds=0.1, failed=failed)
    by_arms = count_meetings(treated.incidents("error_rate"), control.incidents("error_rate"))
    by_stream = meetings_at(stream, np.array([2_000]))
    # Of those met in one slice another one may count, for users' numbers stand in for hashes.
    assert (by_arms.treated + by_arms.control)[0] == (by_stream.treated + by_stream.control)[0, 0]


@pytest.mark.parametrize(
    "population", [Population(), Population(users=500, heaviness=1.5, proneness=1.0)], ids=["one each", "unequal"]
)
def test_looking_again_and_again_finds_nothing_where_nothing_is_and_a_z_test_does(population: Population) -> None:
    random, runs = np.random.default_rng(4), 150
    ours = plain = 0
    for _ in range(runs):
        stream = draw_stream(random, utterances=20_000, share=0.25, rate=0.02, population=population)
        ours += bool((evidence(meetings_at(stream, LOOKS), share=0.25) >= math.log(1 / ALPHA)).any())
        plain += bool((np.abs(z_scores(stream, LOOKS)) > 1.96).any())
    assert ours / runs <= ALPHA
    assert plain / runs > 4 * ALPHA


@pytest.mark.parametrize(("looks", "published"), [(1, 0.050), (5, 0.142), (10, 0.193)])
def test_a_z_test_is_wrong_as_often_as_has_been_published_since_1969(looks: int, published: float) -> None:
    # Armitage, McPherson and Rowe: repeated significance tests at 5 %, evenly spaced.
    random, runs = np.random.default_rng(12), 1_500
    places = np.arange(1, looks + 1) * 200
    wrong = sum(
        bool((np.abs(z_scores(draw_stream(random, utterances=200 * looks, share=0.5, rate=0.4), places)) > 1.96).any())
        for _ in range(runs)
    )
    assert wrong / runs == pytest.approx(published, abs=0.025)


def test_calls_that_fail_as_a_whole_are_no_difference() -> None:
    random, runs, found = np.random.default_rng(5), 150, 0
    for _ in range(runs):
        stream = draw_stream(random, utterances=20_000, share=0.25, rate=0.005)
        stream = fail_whole_calls(random, stream, share=0.25, rate=0.02)
        found += bool((evidence(meetings_at(stream, LOOKS), share=0.25) >= math.log(1 / ALPHA)).any())
    assert found / runs <= ALPHA


def test_a_ratio_that_is_tolerated_is_no_breach() -> None:
    random, runs, found = np.random.default_rng(6), 100, 0
    for _ in range(runs):
        stream = draw_stream(
            random, utterances=20_000, share=0.25, rate=0.02, ratio=1.4, population=Population(1_000, 1.0, 1.0)
        )
        strength = evidence(meetings_at(stream, LOOKS), share=0.25, tolerated_ratio=1.5)
        found += bool((strength >= math.log(1 / ALPHA)).any())
    assert found / runs <= ALPHA


def test_errors_that_double_at_a_canary_are_always_found_and_about_when_it_was_planned() -> None:
    random, first = np.random.default_rng(7), []
    looks = np.arange(200, 40_001, 200)
    for _ in range(100):
        met = meetings_at(draw_stream(random, utterances=40_000, share=0.25, rate=0.02, ratio=2.0), looks)
        found = evidence(met, share=0.25) >= math.log(1 / ALPHA)
        assert found.any()
        first.append(looks[found.argmax()])
    planned = utterances_for_rate(baseline=0.02, ratio=2.0, share=0.25, alpha=ALPHA, power=0.5)
    assert np.median(first) <= 6_000
    assert np.median(first) == pytest.approx(planned, rel=0.35)


def test_the_ratio_of_two_arms_is_within_its_interval() -> None:
    treated, control = arms_of(8, ratio=3.0)
    found = compare_affected(treated.incidents("error_rate"), control.incidents("error_rate"), share=0.5, alpha=ALPHA)
    assert found.interval[0] <= (found.estimate or 0) <= found.interval[1]
    assert found.interval[0] < 3.0 < found.interval[1]


# Latency and cost.


def test_normal_mixtures_are_a_bet_averaged_over_normal_effects() -> None:
    estimate, error, groups = 0.3, 0.1, 10**9

    def weighted(effect: float) -> float:
        likelihood = math.exp((estimate * effect - effect**2 / 2) / error**2)
        spread = normal.PRIOR_SPREAD
        return likelihood * math.exp(-((effect / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))

    either, more = quad(weighted, -3, 3)[0], 2 * quad(weighted, 0, 3)[0]
    assert normal.log_e_either(estimate, error, groups) == pytest.approx(math.log(either), rel=1e-6)
    assert normal.log_e_more(estimate, error, groups) == pytest.approx(math.log(more), rel=1e-6)
    width = normal.half_width(error, groups, ALPHA)
    assert normal.log_e_either(width, error, groups) == pytest.approx(math.log(1 / ALPHA))


def test_latency_that_is_half_as_long_again_is_a_breach_and_the_same_latency_is_fine() -> None:
    slow, control = arms_of(9, slower=1.6)
    same, other = arms_of(10)
    breach = judge("p95_latency", slow, control, allocation=0.5, tolerated_ratio=1.1, alpha=0.01)
    fine = judge("p95_latency", same, other, allocation=0.5, tolerated_ratio=1.1, alpha=0.01)
    assert (breach.verdict, fine.verdict) == (Verdict.BREACH, Verdict.FINE)
    assert breach.estimate == pytest.approx(1.6, rel=0.15)


def test_errors_of_latency_and_cost_are_as_large_as_chance_makes_them() -> None:
    latency: list[float] = []
    cost: list[float] = []
    for seed in range(40):
        arms = arms_of(100 + seed)
        for found, scores in ((compare_latency(*arms), latency), (compare_cost(*arms), cost)):
            assert found is not None
            assert found.error is not None
            scores.append(found.log_ratio / found.error)
    for scores in (latency, cost):
        assert 0.6 < float(np.std(scores)) < 1.3


def test_it_takes_longer_to_find_less() -> None:
    planned = [utterances_for_mean(log_ratio=math.log(ratio), spread=5.0, alpha=ALPHA) for ratio in (1.05, 1.2, 0.8)]
    assert planned[0] > planned[1] > 0
    assert planned[1] / planned[2] == pytest.approx((math.log(0.8) / math.log(1.2)) ** 2, rel=0.3)


# Guardrails.


def test_without_anyone_nothing_is_decided() -> None:
    for metric in ("error_rate", "degraded_rate", "correction_rate", "p95_latency"):
        finding = judge(metric, Arm(), Arm(), allocation=0.1, tolerated_ratio=1, alpha=ALPHA)
        assert (finding.verdict, finding.p_value) == (Verdict.UNDECIDED, 1.0)


def test_what_hardly_anyone_meets_is_fine() -> None:
    treated, control = arms_of(11)
    for place in range(2_000):
        treated.add(f"new-{place}", at_seconds=place, latency_seconds=0.1)
    finding = judge("degraded_rate", treated, control, allocation=0.5, tolerated_ratio=1, alpha=ALPHA)
    assert finding.verdict is Verdict.FINE


def test_one_promise_is_shared_by_all_guardrails_and_steps() -> None:
    assert split_alpha(0.05, guardrails=4, steps=5) * 4 * 5 == pytest.approx(0.05)
