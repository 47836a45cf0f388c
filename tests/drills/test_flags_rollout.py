"""All users on the way from 0 to 100 %, a thousandth at a time: nobody ever loses the flag, and all get it.

`DRILL_USERS=1000000` takes some four minutes.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from flags.bucketing import BUCKETS, bucket
from flags.evaluation import Snapshot
from schemas.events import FlagChange

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1_800)]

USERS = [f"user-{number}" for number in range(int(os.environ.get("DRILL_USERS", "20000")))]
STEPS = 1_000
SIGNIFICANCE = 0.001
DEVIATION = 2.5 / len(USERS) ** 0.5
"""Of a share of users: five standard deviations of a binomial at 50 %."""


def test_nobody_ever_loses_a_flag() -> None:
    had = np.zeros(len(USERS), dtype=bool)
    for step in range(STEPS + 1):
        change = FlagChange(
            name="ramped",
            enabled=True,
            rollout_percentage=step * 100 / STEPS,
            revision=1,
            changed_by="test",
            changed_at="now",
        )
        enabled = Snapshot(changes={"ramped": change}).enabled
        have = np.fromiter((enabled("ramped", user) for user in USERS), dtype=bool, count=len(USERS))
        assert not (had & ~have).any()
        assert have.mean() == pytest.approx(step / STEPS, abs=DEVIATION)
        had = have
    assert had.all()


def test_buckets_are_uniform_and_those_of_two_flags_independent() -> None:
    one, other = (
        np.fromiter((bucket(salt, user) for user in USERS), dtype=int, count=len(USERS)) for salt in ("one", "other")
    )
    for buckets in (one, other):
        assert chisquare(np.bincount(buckets * 100 // BUCKETS, minlength=100)).pvalue > SIGNIFICANCE
    table = np.histogram2d(one, other, bins=20, range=[[0, BUCKETS], [0, BUCKETS]])[0]
    assert chi2_contingency(table).pvalue > SIGNIFICANCE
