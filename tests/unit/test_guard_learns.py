"""The guard learns for as long as `feedback_learning` is on for anybody."""

from __future__ import annotations

from typing import Any

import pytest

from flags.evaluation import Snapshot
from schemas.events import Condition, FlagChange, Rule
from streams.learning.guard import FLAG, is_learning

SOME = Rule(conditions=(Condition(attribute="plan", operator="in", values=("gold",)),))


def flags(*, override: bool | None = None, **change: Any) -> Snapshot:
    overrides = {} if override is None else {FLAG: override}
    if not change:
        return Snapshot(overrides)
    state = {"enabled": True} | change
    flag = FlagChange(name=FLAG, revision=1, changed_by="tests", changed_at="2026-11-23T09:00:00Z", **state)
    return Snapshot(overrides, revision=1, changes={FLAG: flag})


@pytest.mark.parametrize(
    ("snapshot", "learning"),
    [
        (flags(), True),
        (flags(override=False), False),
        (flags(enabled=False), False),
        (flags(killed=True), False),
        (flags(rollout_percentage=10.0), True),
        (flags(rollout_percentage=0.0), False),
        (flags(rollout_percentage=0.0, rules=(SOME,)), True),
        (flags(rollout_percentage=0.0, rules=(SOME,), override=False), False),
        (flags(enabled=False, rules=(SOME,)), False),
    ],
)
def test_it_learns_unless_the_flag_is_off_for_everyone(snapshot: Snapshot, *, learning: bool) -> None:
    assert is_learning(snapshot) is learning
