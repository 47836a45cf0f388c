"""Rollouts on a real broker climb, hold and go back by what stands on the log, and every act stands there, too."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from flags.acts import Author
from flags.edits import Edit, flag_state
from flags.rollouts.acts import Plan, since, start
from flags.rollouts.controller import CONTROLLER, Controller
from flags.rollouts.decision import Verdict
from schemas.events import FlagChange, Guardrail
from schemas.server_settings import Kafka
from schemas.settings import Settings
from schemas.settings import Worker as WorkerSettings
from streams.evidence import EvidenceReader, judge_now
from streams.rollouts import RolloutRunner
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.flag_fleet import FlagFleet
from tests.kit.rollouts import Audience, Fate, Judged
from tests.kit.waiting import let_pass, wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flags.rollouts.decision import Look
    from infra.embedded.server import EmbeddedServer

PLAN = Plan(
    steps=(10.0, 25.0, 50.0, 75.0, 100.0),
    guardrails=(Guardrail(metric="error_rate"), Guardrail(metric="degraded_rate")),
    step_seconds=0.0,
    step_utterances=200,
)


class Fleet(FlagFleet):
    """One whose flags are gone when it is."""

    def __init__(self, broker: str, folder: Path, group: str) -> None:
        super().__init__(
            Settings(
                kafka=Kafka(bootstrap_servers=broker),
                worker=WorkerSettings(id=group, group_id=group),
                state_folder=folder,
            )
        )
        self._started: list[str] = []

    def clean(self) -> None:
        for name in self._started:
            self.writer.write(Edit(name=name, delete=True, changed_by="ada"))

    def start(self, flag: str, plan: Plan, **fields: Any) -> FlagChange:
        made = self.writer.write(Edit(name=flag, fields={"enabled": False, **fields}, create=True, changed_by="ada"))
        author = Author(changed_by="ada", reason="a test", now=made.changed_at)
        started = self.writer.write(start(made, plan, author))
        self._started.append(flag)
        wait_until(lambda: self.follower.snapshot.revision >= started.revision, "it is applied")
        return started

    def flag(self, name: str) -> FlagChange:
        state = flag_state(name, self.follower.snapshot.changes)
        assert state is not None
        assert state.rollout is not None
        return state

    def state(self, name: str) -> str:
        rollout = self.flag(name).rollout
        return "" if rollout is None else rollout.state

    def audience(self, flag: str, fate: Any = lambda _variant, _chance: Fate(), **options: Any) -> Audience:
        return Audience(self.broker, flag=flag, snapshot=lambda: self.follower.snapshot, fate=fate, **options)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        create_our_topics(server.endpoint, 2)
        yield server


@pytest.fixture
def fleet(server: EmbeddedServer, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(server.endpoint, tmp_path, tmp_path.name) as fleet:
        yield fleet


def harmless(_variant: str, chance: random.Random) -> Fate:
    return Fate(failed=chance.random() < 0.001, seconds=chance.lognormvariate(-4, 0.5))


def test_a_flag_that_does_no_harm_climbs_to_everyone_and_each_step_stands_in_the_audit(fleet: Fleet) -> None:
    judged = Judged()
    fleet.candidate(judged)
    fleet.start("harmless", PLAN)
    with fleet.audience("harmless", harmless):
        wait_until(lambda: fleet.state("harmless") == "finished", "it is finished", seconds=120)
    climbed = [change for change in fleet.audited("harmless") if change.rollout is not None]
    assert [change.rollout_percentage for change in climbed] == [10.0, 25.0, 50.0, 75.0, 100.0]
    assert {change.changed_by for change in climbed[1:]} == {CONTROLLER}
    assert all("error_rate" in change.reason and "degraded_rate" in change.reason for change in climbed[1:])


def test_too_little_traffic_holds(fleet: Fleet) -> None:
    judged = Judged()
    fleet.candidate(judged)
    started = fleet.start("quiet", PLAN)
    with fleet.audience("quiet", harmless, per_second=100):
        wait_until(lambda: any(look.control > 50 for look in judged.looks_at("quiet")), "it is seen")
        let_pass(1.0)
    assert {status.verdict for status in judged.of("quiet")} == {Verdict.HOLD}
    assert any("utterances of users with it" in status.why for status in judged.of("quiet"))
    assert fleet.flag("quiet").revision == started.revision


@pytest.mark.parametrize(
    ("metric", "harm"),
    [
        ("error_rate", Fate(failed=True)),
        ("degraded_rate", Fate(degraded=True)),
        ("correction_rate", Fate(corrected=True)),
    ],
)
def test_a_breach_takes_the_flag_from_everyone_and_says_why(fleet: Fleet, metric: Any, harm: Fate) -> None:
    def fate(variant: str, chance: random.Random) -> Fate:
        return harm if chance.random() < (0.3 if variant == "on" else 0.02) else Fate()

    name = f"harmful_{metric}"
    judged = Judged()
    fleet.candidate(judged)
    fleet.start(name, Plan(steps=(25.0, 100.0), guardrails=(Guardrail(metric=metric),), step_seconds=3_600.0))
    with fleet.audience(name, fate, per_second=1_000) as audience:
        wait_until(lambda: fleet.state(name) == "rolled_back", "it is rolled back", seconds=60)
        flag = fleet.flag(name)
        wait_until(lambda: audience.asked >= flag.revision, "others come after that")
    wait_until(lambda: bool(judged.moved), "whoever took it back says so")
    assert (flag.rollout_percentage, flag.changed_by) == (0.0, CONTROLLER)
    assert flag.reason.startswith(f"{metric} 0.")
    assert "with it and 0.0" in flag.reason
    assert judged.moved == [(name, "rollback")]
    assert audience.treated < flag.revision


def test_a_slower_flag_is_rolled_back(fleet: Fleet) -> None:
    def fate(variant: str, chance: random.Random) -> Fate:
        return Fate(seconds=chance.lognormvariate(-4, 0.5) * (3 if variant == "on" else 1))

    fleet.candidate(Judged())
    guardrail = Guardrail(metric="p95_latency", tolerated_ratio=1.5)
    fleet.start("slow", Plan(steps=(25.0, 100.0), guardrails=(guardrail,), step_seconds=3_600.0))
    with fleet.audience("slow", fate, per_second=1_000):
        wait_until(lambda: fleet.state("slow") == "rolled_back", "it is rolled back", seconds=60)


def test_while_the_broker_is_away_it_holds_and_afterwards_goes_on(fleet: Fleet, server: EmbeddedServer) -> None:
    judged, late = Judged(), dt.timedelta(0)
    fleet.candidate(judged, clock=lambda: dt.datetime.now(dt.UTC) + late)
    fleet.start("cut_off", msgspec.structs.replace(PLAN, steps=(50.0, 100.0), step_seconds=3_600.0))
    with fleet.audience("cut_off", harmless):
        wait_until(lambda: any(look.treated > 4_000 for look in judged.looks_at("cut_off")), "there is enough to go on")
    server.suspend()
    try:
        wait_until(lambda: judged.of("cut_off")[-1].why.endswith(" s behind"), "it is known that nothing is known")
        late = dt.timedelta(hours=1)
        seen = len(judged.statuses)
        wait_until(lambda: len(judged.statuses) > seen + 2, "it is judged when its time has come")
        assert {status.verdict for status in judged.of("cut_off")} == {Verdict.HOLD}
    finally:
        server.resume()
    assert fleet.state("cut_off") == "running"
    wait_until(lambda: fleet.state("cut_off") == "finished", "it goes on")


def test_a_dry_run_says_what_it_would_do_and_does_nothing(fleet: Fleet) -> None:
    judged = Judged()
    fleet.candidate(judged)
    plan = Plan(steps=(50.0, 100.0), guardrails=(Guardrail(metric="error_rate"),), step_seconds=0.0, dry_run=True)
    started = fleet.start("show", plan, enabled=True, rollout_percentage=50.0)
    with fleet.audience("show", lambda variant, chance: Fate(failed=variant == "on" and chance.random() < 0.5)):
        wait_until(lambda: Verdict.ROLLBACK in {status.verdict for status in judged.of("show")}, "it would")
    assert judged.moved == []
    assert fleet.flag("show").revision == started.revision


def test_who_takes_over_comes_to_the_same_numbers_by_reading_the_log_again(fleet: Fleet) -> None:
    first, second = Judged(), Judged()
    runner = fleet.candidate(first)
    plan = Plan(steps=(50.0, 100.0), guardrails=(Guardrail(metric="correction_rate"),), step_seconds=3_600.0)
    fleet.start("inherited", plan)
    with fleet.audience(
        "inherited", lambda _, chance: Fate(corrected=chance.random() < 0.1, failed=chance.random() < 0.1)
    ):
        wait_until(lambda: any(look.treated > 500 for look in first.looks_at("inherited")), "it is seen")

    def numbers(looks: Sequence[Look]) -> tuple[Any, ...]:
        return (looks[-1].treated, looks[-1].control, looks[-1].findings) if looks else ()

    let_pass(1.5)  # what is a second old is current enough to be judged by, and a second of it would be missing
    whole = judge_now(fleet.settings, fleet.flag("inherited"), patience_seconds=60.0).look
    assert whole is not None
    assert whole.treated > 500
    wait_until(lambda: numbers(first.looks_at("inherited")) == numbers([whole]), "all is read")
    fleet.candidate(second)
    let_pass(3.0)
    assert second.statuses == []  # one at a time, and who comes leaves the other at it
    runner.stop()
    wait_until(lambda: numbers(second.looks_at("inherited")) == numbers([whole]), "the other has read it, too")


def test_what_comes_while_it_is_asked_where_to_begin_is_read(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    class Overtaken(Consumer):
        def offsets_for_times(self, *asked: Any) -> list[TopicPartition]:
            found = super().offsets_for_times(*asked)
            with fleet.audience("overtaken") as audience:
                wait_until(lambda: audience.asked > 0, "somebody is answered")
            return found

    fleet.start("overtaken", PLAN)
    monkeypatch.setattr("streams.evidence.Consumer", Overtaken)
    begin = since(fleet.flag("overtaken"))._replace(seconds=time.time() + 3_600)  # nothing there is younger
    with EvidenceReader(fleet.settings) as evidence:
        evidence.follow([begin])
        comparison = evidence.comparison(begin)
        assert comparison is not None
        wait_until(lambda: evidence.read(0.1) and bool(comparison.arms), "it is read")


def test_two_that_both_think_they_are_elected_do_no_harm(fleet: Fleet) -> None:
    class Elected:
        elected = True

        def poll(self, seconds: float) -> None:
            let_pass(seconds)

        def close(self) -> None:
            """Nothing to close."""

    judged = [Judged(), Judged()]
    with ExitStack() as runners:
        for each in judged:
            runner = RolloutRunner(
                new_election=Elected,  # type: ignore[arg-type]  # both of them
                new_reader=lambda: EvidenceReader(fleet.settings),
                judge=lambda flag: judge_now(fleet.settings, flag, patience_seconds=10.0),
                follower=fleet.follower,
                controller=Controller(fleet.new_writer(), each),
                observer=each,
            )
            runner.start()
            runners.callback(runner.stop)
        fleet.start("contested", msgspec.structs.replace(PLAN, steps=(25.0, 50.0, 100.0)))
        with fleet.audience("contested", harmless):
            wait_until(lambda: fleet.state("contested") == "finished", "it is finished", seconds=120)
        wait_until(lambda: sum(len(each.moved) for each in judged) >= 2, "whoever moved it says so")
    climbed = [change.rollout_percentage for change in fleet.audited("contested") if change.rollout is not None]
    assert climbed == [25.0, 50.0, 100.0]
    assert len(judged[0].moved) + len(judged[1].moved) == 2
