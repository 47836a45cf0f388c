"""What can be done with a rollout, and what becomes of it when its flag is changed by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flags.acts import Author
from flags.changelog import Fold
from flags.edits import Edit, flag_state, propose
from flags.errors import InvalidFlagError, PreconditionFailedError
from flags.rollouts.acts import Plan, abort, climb, pause, resume, roll_back, share, start
from schemas.events import FlagChange, Guardrail, Rollout, Variant

ADA = Author(changed_by="ada", reason="a test", now="2026-11-23T09:00:00Z")
PLAN = Plan(steps=(10.0, 50.0, 100.0))


class Log:
    """A changelog in memory, to which edits are written as the writer does."""

    def __init__(self) -> None:
        self.fold = Fold()

    def write(self, edit: Edit) -> FlagChange:
        revision = self.fold.revision + 1
        change = propose(edit, self.fold, revision=revision, changed_at=f"2026-11-23T10:00:{revision:02}Z")
        assert self.fold.apply(change.name.encode(), msgspec.json.encode(change), revision) is None
        assert self.fold.settle() == []
        return self.flag(edit.name)

    def flag(self, name: str = "distilbert_model") -> FlagChange:
        state = flag_state(name, self.fold.changes)
        assert state is not None
        return state

    def set(self, name: str = "distilbert_model", **fields: Any) -> FlagChange:
        return self.write(Edit(name=name, fields=fields, create=True, changed_by="bob", reason="by hand"))

    def start(self, plan: Plan = PLAN, name: str = "distilbert_model") -> FlagChange:
        return self.write(start(self.flag(name), plan, ADA))


def rollout_of(flag: FlagChange) -> Rollout:
    assert flag.rollout is not None
    return flag.rollout


def faults_of(attempt: Any, *arguments: Any) -> str:
    with pytest.raises(InvalidFlagError) as refused:
        attempt(*arguments)
    return "\n".join(refused.value.faults)


def test_a_rollout_starts_at_its_first_step_and_says_from_which_revision_on_evidence_counts() -> None:
    flag = Log().start()
    assert (flag.enabled, flag.rollout_percentage, flag.changed_by, flag.reason) == (True, 10.0, "ada", "a test")
    rollout = rollout_of(flag)
    assert (rollout.state, rollout.step, rollout.entered_revision, rollout.entered_at) == ("running", 0, 1, ADA.now)


def test_it_climbs_to_everyone_and_is_then_finished() -> None:
    log = Log()
    flag = log.start()
    climbed = []
    while rollout_of(flag).state == "running":
        climbed.append((flag.rollout_percentage, rollout_of(flag).entered_revision))
        flag = log.write(climb(flag, ADA))
    assert climbed == [(10.0, 1), (50.0, 2)]
    assert (flag.rollout_percentage, rollout_of(flag).state) == (100.0, "finished")


def test_one_whose_last_step_is_not_everyone_is_finished_once_that_was_judged() -> None:
    log = Log()
    flag = log.write(climb(log.start(Plan(steps=(10.0, 50.0))), ADA))
    assert (flag.rollout_percentage, rollout_of(flag).state) == (50.0, "running")
    flag = log.write(climb(flag, ADA))
    assert (flag.rollout_percentage, rollout_of(flag).state) == (50.0, "finished")


@pytest.mark.parametrize(("act", "state"), [(abort, "aborted"), (roll_back, "rolled_back")])
def test_one_that_ends_before_leaves_the_flag_to_nobody(act: Any, state: str) -> None:
    log = Log()
    log.write(climb(log.start(), ADA))
    flag = log.write(act(log.flag(), ADA))
    assert (flag.enabled, flag.rollout_percentage, rollout_of(flag).state) == (True, 0.0, state)


def test_an_act_is_refused_if_the_flag_was_changed_since_it_was_looked_at() -> None:
    log = Log()
    seen = log.start()
    log.write(pause(seen, ADA))
    with pytest.raises(PreconditionFailedError):
        log.write(climb(seen, ADA))


@pytest.mark.parametrize(
    "by_hand",
    [
        {"enabled": False},
        {"rollout_percentage": 60.0},
        {"killed": True},
        {"salt": "another"},
        {"rules": [{"conditions": [{"attribute": "plan", "operator": "equals", "values": ["gold"]}]}]},
    ],
)
def test_who_steers_by_hand_pauses_the_rollout_in_the_same_record(by_hand: dict[str, Any]) -> None:
    log = Log()
    log.start()
    flag = log.set(**by_hand)
    rollout = rollout_of(flag)
    assert (rollout.state, rollout.step) == ("paused", 0)
    assert (rollout.entered_revision, rollout.entered_at) == (2, flag.changed_at)


def test_who_only_describes_a_flag_leaves_its_rollout_alone() -> None:
    log = Log()
    started = log.start()
    flag = log.set(description="What it does", owner="carol")
    assert flag.rollout == started.rollout


def test_a_replacement_of_the_whole_flag_pauses_its_rollout_and_does_not_forget_it() -> None:
    log = Log()
    log.start()
    flag = log.write(Edit(name="distilbert_model", fields={"enabled": True}, replace=True, changed_by="bob"))
    assert (flag.rollout_percentage, rollout_of(flag).state) == (100.0, "paused")


def test_a_deleted_flag_has_no_rollout() -> None:
    log = Log()
    log.start()
    log.write(Edit(name="distilbert_model", delete=True, changed_by="bob"))
    assert log.fold.changes["distilbert_model"].rollout is None


def test_a_paused_one_goes_on_where_it_stood_with_evidence_counted_anew() -> None:
    log = Log()
    log.write(climb(log.start(), ADA))
    log.write(pause(log.flag(), ADA))
    flag = log.write(resume(log.flag(), ADA))
    rollout = rollout_of(flag)
    assert (flag.rollout_percentage, rollout.state, rollout.step, rollout.entered_revision) == (50.0, "running", 1, 4)


@pytest.mark.parametrize(
    ("by_hand", "goes_on_at"),
    [
        ({"rollout_percentage": 30.0}, 50.0),  # nobody loses it
        ({"rollout_percentage": 5.0}, 10.0),
        ({"enabled": False}, 10.0),
        ({"salt": "another"}, 10.0),
        ({"rollout_percentage": 100.0}, 100.0),
    ],
)
def test_one_that_was_steered_by_hand_goes_on_at_the_first_step_that_takes_it_from_nobody(
    by_hand: dict[str, Any], goes_on_at: float
) -> None:
    log = Log()
    log.start()
    log.set(**by_hand)
    assert log.write(resume(log.flag(), ADA)).rollout_percentage == goes_on_at


def test_one_that_was_steered_beyond_its_last_step_does_not_go_on() -> None:
    log = Log()
    log.start(Plan(steps=(10.0, 50.0)))
    log.set(rollout_percentage=60.0)
    assert "more than at the last step" in faults_of(resume, log.flag(), ADA)


def test_a_killed_one_does_not_go_on() -> None:
    log = Log()
    log.start()
    log.set(killed=True)
    assert "revive it first" in faults_of(resume, log.flag(), ADA)


def test_a_dry_run_changes_nothing_but_itself() -> None:
    log = Log()
    log.set(enabled=True, rollout_percentage=25.0)
    flag = log.start(Plan(steps=(50.0, 100.0), dry_run=True))
    assert (flag.rollout_percentage, rollout_of(flag).state) == (25.0, "running")
    assert "goes nowhere" in faults_of(climb, flag, ADA)
    flag = log.write(abort(flag, ADA))
    assert (flag.rollout_percentage, rollout_of(flag).state) == (25.0, "aborted")


@pytest.mark.parametrize(
    ("before", "plan", "fault"),
    [
        ({}, Plan(steps=()), "at least one step"),
        ({}, Plan(steps=(50.0, 10.0)), "the steps 50, 10 do not rise"),
        ({}, Plan(steps=(0.0, 10.0)), "a step is 0 %"),
        ({}, Plan(steps=(10.0, 101.0)), "a step is 101 %"),
        ({}, Plan(steps=(0.0001,)), "steps of 0.001"),
        (
            {},
            Plan(guardrails=(Guardrail(metric="error_rate"), Guardrail(metric="error_rate", tolerated_ratio=2.0))),
            "the guardrail error_rate is named 2 times",
        ),
        ({"enabled": True}, PLAN, "everyone has it already"),
        ({"enabled": True, "rollout_percentage": 30.0}, PLAN, "30 % have it already, and the first step is 10 %"),
        ({"killed": True}, PLAN, "revive it first"),
        ({}, Plan(dry_run=True), "it is off"),
        ({"enabled": True}, Plan(dry_run=True), "compares those who have the flag now"),
    ],
)
def test_what_cannot_climb_is_refused_and_says_why(before: dict[str, Any], plan: Plan, fault: str) -> None:
    log = Log()
    if before:
        log.set(**before)
    assert fault in faults_of(start, log.flag(), plan, ADA)


def test_flags_with_variants_and_segments_do_not_climb() -> None:
    log = Log()
    variants = (Variant(name="a", value="a", weight=50.0), Variant(name="b", value="b", weight=50.0))
    log.set("colour", enabled=False, variants=msgspec.to_builtins(variants), off_variant="a")
    log.set("staff", enabled=False, kind="segment")
    assert "an experiment compares variants" in faults_of(start, log.flag("colour"), PLAN, ADA)
    assert "a segment" in faults_of(start, log.flag("staff"), PLAN, ADA)


def test_a_second_rollout_waits_for_the_first() -> None:
    log = Log()
    log.start()
    assert "under way already, running" in faults_of(start, log.flag(), PLAN, ADA)
    log.write(abort(log.flag(), ADA))
    assert rollout_of(log.start()).state == "running"


def test_nothing_can_be_done_with_a_rollout_that_is_over_or_never_was() -> None:
    log = Log()
    for act in (pause, resume, climb, abort, roll_back):
        assert "it has no rollout" in faults_of(act, log.flag(), ADA)
    log.write(abort(log.start(), ADA))
    for act in (pause, resume, climb, abort, roll_back):
        assert "its rollout is aborted" in faults_of(act, log.flag(), ADA)


def test_a_record_in_which_a_running_rollout_and_its_flag_disagree_does_not_count() -> None:
    log = Log()
    flag = log.start()
    for wrong in (
        {"rollout_percentage": 20.0},
        {"enabled": False},
        {"killed": True},
        {"rollout": msgspec.structs.replace(rollout_of(flag), step=7)},
        {"rollout": msgspec.structs.replace(rollout_of(flag), entered_at="yesterday")},
        {"rollout": msgspec.structs.replace(rollout_of(flag), step=2), "rollout_percentage": 100.0},
    ):
        record = msgspec.structs.replace(flag, revision=2, **wrong)
        refusal = log.fold.apply(b"distilbert_model", msgspec.json.encode(record), 2)
        assert refusal is not None
        assert refusal.code == "invalid_change"


STEPS = st.lists(st.integers(1, 100), min_size=1, max_size=5, unique=True).map(
    lambda those: tuple(float(each) for each in sorted(those))
)
BY_HAND = st.one_of(
    st.fixed_dictionaries({"rollout_percentage": st.integers(0, 100).map(float)}),
    st.fixed_dictionaries({"enabled": st.booleans()}),
    st.fixed_dictionaries({"killed": st.booleans()}),
    st.fixed_dictionaries({"description": st.text(max_size=5)}),
)


@settings(deadline=None)
@given(steps=STEPS, moves=st.lists(st.one_of(st.sampled_from([pause, resume, climb, abort, roll_back]), BY_HAND)))
def test_whatever_is_done_in_whichever_order_nobody_loses_a_flag_but_by_hand_or_when_it_ends(
    steps: tuple[float, ...], moves: list[Any]
) -> None:
    log = Log()
    before = log.start(Plan(steps=steps))
    for move in moves:
        if isinstance(move, dict):
            before = log.set(**move)
            continue
        try:
            now = log.write(move(before, ADA))
        except InvalidFlagError:
            continue
        state = rollout_of(now).state
        if state in {"aborted", "rolled_back"}:
            assert now.rollout_percentage == 0
        else:
            assert share(now) >= share(before)
        if state == "running":
            assert (now.enabled, now.killed, now.rollout_percentage) == (True, False, steps[rollout_of(now).step])
            assert now.rollout_percentage < 100
        before = now
