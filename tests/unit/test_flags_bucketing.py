"""Percentages: nobody loses a flag when its percentage is raised, and one flag's users say nothing about another's."""

from __future__ import annotations

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from flags.bucketing import BUCKETS, below, bucket, is_whole_step, threshold
from flags.evaluation import Snapshot
from schemas.events import FlagChange

USERS = [f"user-{number}" for number in range(100_000)]
SIGNIFICANCE = 0.001


def at(percentage: float) -> Snapshot:
    change = FlagChange(
        name="ramped", enabled=True, rollout_percentage=percentage, revision=1, changed_by="test", changed_at="now"
    )
    return Snapshot(changes={"ramped": change})


def test_raising_a_percentage_takes_the_flag_from_nobody() -> None:
    have: set[str] = set()
    for percentage in range(101):
        snapshot = at(percentage)
        now = {user for user in USERS if snapshot.enabled("ramped", user)}
        assert have <= now
        assert len(now) / len(USERS) == pytest.approx(percentage / 100, abs=0.006)
        have = now
    assert len(have) == len(USERS)


@given(
    st.text(min_size=1),
    st.integers(0, BUCKETS),
    st.integers(0, BUCKETS),
)
def test_whoever_has_a_flag_has_it_at_any_higher_percentage(user: str, one: int, other: int) -> None:
    lower, higher = sorted((one, other))
    if at(lower / 1_000).enabled("ramped", user):
        assert at(higher / 1_000).enabled("ramped", user)


@given(st.text(), st.text(), st.integers(0, BUCKETS))
def test_the_fast_comparison_is_the_bucket_s(salt: str, user: str, limit: int) -> None:
    assert below(salt, limit)(user) == (bucket(salt, user) < limit)


def test_buckets_are_uniform() -> None:
    counts = [0] * 100
    for user in USERS:
        counts[bucket("uniform", user) * 100 // BUCKETS] += 1
    assert chisquare(counts).pvalue > SIGNIFICANCE


def test_two_flags_pick_their_users_independently() -> None:
    table = [[0, 0], [0, 0]]
    one, other = below("one", threshold(30)), below("other", threshold(50))
    for user in USERS:
        table[one(user)][other(user)] += 1
    assert chi2_contingency(table).pvalue > SIGNIFICANCE


@pytest.mark.parametrize(
    ("percentage", "whole"), [(0, True), (0.001, True), (33.333, True), (100, True), (0.0005, False)]
)
def test_a_percentage_goes_in_steps_of_a_thousandth(percentage: float, whole: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_whole_step(percentage) == whole


def test_a_user_stays_in_their_bucket_from_release_to_release() -> None:
    assert mmh3.mmh3_32_uintdigest(b"hello") == 0x248BFA47  # murmur3, x86, 32 bits, seed 0
    assert (bucket("quality_mode", "user-7"), bucket("a", "ä")) == (40189, 91522)
