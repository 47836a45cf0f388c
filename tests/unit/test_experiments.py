"""Experiments: who is in which arm, what may be changed while one runs, what may be concluded and what comes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
import pytest

from flags.acts import Author
from flags.changelog import Fold
from flags.edits import Edit, propose
from flags.errors import InvalidFlagError
from flags.evaluation import Snapshot
from flags.experiments.acts import Design, conclude, find_experiment, since, start
from flags.experiments.analysis import Verdict, assess
from flags.experiments.outlook import look_ahead
from flags.statistics.arm import Arm
from models.answer import Answer
from models.serving import Serving
from schemas.cloudevents import Received
from schemas.events import FlagChange, Utterance
from streams.decide import FlaggedClassifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.router import Route
    from streams.results import Decision

ADA = Author(changed_by="ada", reason="Is the fast way good enough?", now="2026-11-23T09:00:00.000Z")
DESIGN = Design(flag="fast_enough", arms={"usual": "adaptive", "fast": "performance"}, control="usual")


class Log:
    """Flags as the writer keeps them, without a broker."""

    def __init__(self) -> None:
        self.fold = Fold()
        self.revision = 0

    def write(self, edit: Edit) -> FlagChange:
        change = propose(edit, self.fold, revision=self.revision + 1, changed_at="2026-11-23T10:00:00.000Z")
        assert self.fold.apply(change.name.encode(), msgspec.json.encode(change), self.revision) is None
        self.fold.advance()
        self.revision += 1
        return change

    def set(self, name: str, **fields: Any) -> FlagChange:
        return self.write(Edit(name=name, fields=fields, create=True, changed_by="ada"))

    def start(self, design: Design = DESIGN) -> FlagChange:
        return self.write(start(design, self.fold.changes.get(design.flag), ADA))

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(revision=self.revision, changes=self.fold.changes)


class Echo:
    """A classifier that notes how many texts went which way together."""

    release = "r1"

    def review_below(self, _: Route) -> float | None:
        return None

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    async def classify(self, texts: Sequence[str], route: Route, *, caching: bool) -> list[Answer]:  # noqa: ARG002 - its protocol
        self.calls.append((route.strategy.value, len(texts)))
        return [Answer(intent="greeting", confidence=1.0, tier="rules") for _ in texts]


def decide(flags: Snapshot, users: Sequence[str | None], classifier: Echo | None = None) -> list[Decision]:
    decider = FlaggedClassifier(Serving(cast("Any", classifier or Echo())), lambda: flags)
    utterances = [Received(Utterance(text="hello", id=str(place), user_id=user)) for place, user in enumerate(users)]
    return asyncio.run(decider.decide(utterances))


USERS = [f"user-{number}" for number in range(400)]


# Who is in which arm.


def test_an_arm_decides_the_way_and_stands_in_the_result() -> None:
    log = Log()
    log.start()
    decisions = decide(log.snapshot, USERS)
    ways = {(decision.experiment_arm, decision.strategy) for decision in decisions}
    assert ways == {("usual", "adaptive"), ("fast", "performance")}
    assert all(decision.exposures == {"fast_enough": decision.experiment_arm} for decision in decisions)
    fast = sum(decision.experiment_arm == "fast" for decision in decisions)
    assert 150 < fast < 250


def test_a_user_stays_in_his_arm() -> None:
    log = Log()
    log.start()
    before = [decision.experiment_arm for decision in decide(log.snapshot, USERS)]
    log.set("adaptive_routing", enabled=False)
    log.set("fast_enough", description="Whether rules alone will do")
    assert [decision.experiment_arm for decision in decide(log.snapshot, USERS[::-1])] == before[::-1]


def test_outside_of_the_percentage_without_a_user_or_with_testing_off_nobody_is_in_an_arm() -> None:
    log = Log()
    log.start(msgspec.structs.replace(DESIGN, percentage=25.0))
    arms = [decision.experiment_arm for decision in decide(log.snapshot, USERS)]
    assert 60 < sum(arm is not None for arm in arms) < 140
    [nobody] = decide(log.snapshot, [None])
    assert (nobody.experiment_arm, nobody.strategy, nobody.exposures) == (None, "adaptive", {})
    log.set("ab_testing", enabled=False)
    outside = decide(log.snapshot, USERS)
    assert {(decision.experiment_arm, decision.strategy) for decision in outside} == {(None, "adaptive")}
    assert all(decision.exposures == {} for decision in outside)


@pytest.mark.parametrize(("mode", "strategy"), [("quality_mode", "quality"), ("performance_mode", "performance")])
def test_a_mode_stands_above_the_arm(mode: str, strategy: str) -> None:
    log = Log()
    log.start()
    log.set(mode, enabled=True)
    assert {(each.experiment_arm, each.strategy) for each in decide(log.snapshot, USERS)} == {(None, strategy)}


def test_while_users_are_compared_those_of_all_arms_are_answered_in_portions_of_one_size() -> None:
    log, classifier = Log(), Echo()
    log.start(msgspec.structs.replace(DESIGN, arms={"usual": "adaptive", "fast": "performance", "best": "quality"}))
    weights = {"usual": 75.0, "fast": 12.5, "best": 12.5}
    variants = [msgspec.structs.replace(v, weight=weights[v.name]) for v in log.fold.changes["fast_enough"].variants]
    log.set("fast_enough", variants=msgspec.to_builtins(variants))
    decide(log.snapshot, USERS, classifier)
    sizes = [size for _, size in classifier.calls]
    assert sum(sizes) == 400
    assert max(sizes) <= 50
    assert len(sizes) <= 12


# What may be changed.


def test_one_experiment_runs_at_a_time() -> None:
    log = Log()
    log.start()
    second = msgspec.structs.replace(DESIGN, flag="another")
    with pytest.raises(InvalidFlagError, match="the experiment fast_enough is running"):
        log.start(second)
    finish(log, anyway=True, arm="usual")
    assert log.start(second).experiment is not None


def test_what_makes_no_sense_is_refused_with_every_reason() -> None:
    design = Design(flag="odd", arms={"only": "cheapest"}, control="other", metric="correction_rate")
    with pytest.raises(InvalidFlagError) as refused:
        Log().start(design)
    said = " ".join(refused.value.faults)
    for reason in ("2 to 8 arms", "is no strategy", "the control other"):
        assert reason in said


def test_an_experiment_cannot_begin_on_a_flag_that_does_something_else_or_runs() -> None:
    log = Log()
    log.set("fast_enough", enabled=True)
    with pytest.raises(InvalidFlagError, match="it is no experiment"):
        log.start()
    log = Log()
    log.start()
    with pytest.raises(InvalidFlagError, match="runs already"):
        log.start()


def test_who_moves_users_starts_the_evidence_anew_and_who_only_describes_does_not() -> None:
    log = Log()
    assert since(log.start()).revision == 1
    assert since(log.set("fast_enough", description="Is it?")).revision == 1
    moved = log.set("fast_enough", rollout_percentage=50.0)
    assert (since(moved).revision, since(moved).seconds) == (3, 1_795_428_000.0)


# What may be concluded.


def played(
    *, users: int = 3_000, ratio: float = 1.0, metric: str = "corrected", shares: tuple[float, float] = (0.5, 0.5)
) -> Mapping[str, Arm]:
    """Return two arms in which something meets the users of one `ratio` times as often."""
    random = np.random.default_rng(1)
    arms = {"usual": Arm(), "fast": Arm()}
    for user in range(users):
        name = "fast" if random.random() < shares[1] else "usual"
        met = random.random() < 0.1 * (ratio if name == "fast" else 1.0)
        arms[name].add(
            str(user), at_seconds=user, latency_seconds=0.01, cost_seconds=0.001, failed=met and metric == "failed"
        )
        if met and metric == "corrected":
            arms[name].correct(str(user), at_seconds=user)
    return arms


def running() -> tuple[Log, FlagChange]:
    log = Log()
    return log, log.start()


def finish(log: Log, *, arm: str | None = None, anyway: bool = False, **played_as: Any) -> FlagChange:
    flag = log.fold.changes["fast_enough"]
    assert flag.experiment is not None
    assessment = assess(flag, flag.experiment, played(**played_as))
    return log.write(conclude(flag, assessment, ADA, arm=arm, anyway=anyway))


@pytest.mark.parametrize(
    ("played_as", "verdict", "winner"),
    [
        ({}, Verdict.NO_WINNER_YET, None),
        ({"ratio": 0.4}, Verdict.WINNER, "fast"),
        ({"ratio": 2.0}, Verdict.HARMFUL, "usual"),
        ({"ratio": 2.0, "metric": "failed"}, Verdict.HARMFUL, "usual"),
        ({"ratio": 0.4, "shares": (0.6, 0.4)}, Verdict.BLOCKED, None),
    ],
)
def test_the_verdict_is_what_the_users_have_met(
    played_as: dict[str, Any], verdict: Verdict, winner: str | None
) -> None:
    _, flag = running()
    assert flag.experiment is not None
    assessment = assess(flag, flag.experiment, played(**played_as))
    assert (assessment.verdict, assessment.winner) == (verdict, winner)
    assert assessment.reason


def test_before_anyone_came_there_is_no_winner_yet_and_no_outlook() -> None:
    _, flag = running()
    assert flag.experiment is not None
    assert assess(flag, flag.experiment, {}).verdict is Verdict.NO_WINNER_YET
    outlook = look_ahead(flag, flag.experiment, {}, elapsed_seconds=10, effect=0.2)
    assert (outlook.utterances_needed, outlook.seconds_left) == (None, None)


@pytest.mark.parametrize("metric", ["correction_rate", "latency"])
def test_the_outlook_says_how_many_utterances_and_how_long(metric: str) -> None:
    log = Log()
    flag = log.start(msgspec.structs.replace(DESIGN, metric=metric))
    assert flag.experiment is not None
    random = np.random.default_rng(2)
    arms = played()
    for name, arm in arms.items():
        for user in range(2_000):
            arm.add(f"{name}-{user}", at_seconds=user, latency_seconds=float(random.lognormal(-4, 1)))
    small, large = (look_ahead(flag, flag.experiment, arms, elapsed_seconds=700, effect=part) for part in (0.1, 0.4))
    assert small.utterances_a_second == 10.0
    assert small.utterances_needed is not None
    assert large.utterances_needed is not None
    assert small.utterances_needed > 4 * large.utterances_needed
    assert small.seconds_left == pytest.approx(max(0, small.utterances_needed - 7_000) / 10, abs=1)


def test_a_winner_is_what_everyone_gets_from_then_on() -> None:
    log, _ = running()
    change = finish(log, ratio=0.4)
    assert change.experiment is not None
    assert (change.experiment.state, change.experiment.winner) == ("concluded", "fast")
    assert "WINNER" in change.reason
    decisions = decide(log.snapshot, [*USERS, None])
    assert {(each.strategy, each.experiment_arm) for each in decisions} == {("performance", None)}
    log.set("fast_enough", enabled=False)
    assert {each.strategy for each in decide(log.snapshot, USERS)} == {"adaptive"}


def test_without_a_verdict_only_who_insists_and_names_an_arm_concludes() -> None:
    log, _ = running()
    with pytest.raises(InvalidFlagError, match="NO WINNER YET"):
        finish(log)
    with pytest.raises(InvalidFlagError, match="does not speak for fast"):
        finish(log, arm="fast")
    with pytest.raises(InvalidFlagError, match="there is no arm slow"):
        finish(log, arm="slow", anyway=True)
    change = finish(log, arm="fast", anyway=True)
    assert change.experiment is not None
    assert change.experiment.winner == "fast"
    with pytest.raises(InvalidFlagError, match="no experiment of it is running"):
        since(change)


def test_the_running_experiment_is_found_before_the_ones_that_are_over() -> None:
    log, _ = running()
    finish(log, ratio=0.4)
    assert (find_experiment(log.fold.changes) or DESIGN).__class__ is FlagChange
    second = log.start(msgspec.structs.replace(DESIGN, flag="another"))
    log.set("fast_enough", description="Over")
    found = find_experiment(log.fold.changes)
    assert found is not None
    assert found.name == second.name
    assert find_experiment({}) is None
