"""A release on a real broker goes from its shadow over a rollout to everybody, or back; each act stands on the logs."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer, Producer

from flags.edits import Edit, flag_state
from flags.evaluation import Snapshot
from models.catalogue import load_catalogue
from models.store import push_release
from models.zero_shot import Head, ZeroShotModel
from models.zero_shot_release import MadeFor, make_zero_shot_release
from schemas.events import Difference, ShadowReport
from schemas.server_settings import Kafka
from schemas.settings import Learning, Models, Settings
from schemas.settings import Worker as WorkerSettings
from streams.clients import election_consumer_config, producer_config
from streams.fleet.election import Election
from streams.learning.audit import write_to_audit
from streams.reader import TopicReader
from streams.release_acts import ReleaseActs
from streams.results import timestamp
from streams.topics import CORRECTIONS_AUDIT, MODELS
from streams.trials.flag import flag_of, is_candidates_flag
from streams.trials.reader import TrialReader
from streams.trials.runner import TrialRunner
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.flag_fleet import ELECTED_MS, FlagFleet
from tests.kit.rollouts import Audience, Fate, Judged
from tests.kit.waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from schemas.events import FlagChange, ModelRelease

SHOP = """
name: shop
intents:
  - name: order_status
    examples: [where is my parcel, track my order]
  - name: refund
    examples: [give me my money back, i want a refund]
"""
LEARNING = Learning(
    shadow_texts=100,
    shadow_seconds=0.0,
    rollout_users=20,
    rollout_step_seconds=0.0,
    rollout_step_utterances=200,
)


class Judging:
    """What a runner counts."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def trial_ended(self, code: str) -> None:
        self.codes.append(code)

    def broker_error(self, code: str) -> None:
        raise AssertionError(code)

    def unexpected(self, guard: str) -> None:
        raise AssertionError(guard)


class Fleet(FlagFleet):
    """One that has releases, too, and as many candidates for judging trials as a test wants."""

    def __init__(self, broker: str, folder: Path) -> None:
        (folder / "shop.yaml").write_text(SHOP, "utf-8")
        super().__init__(
            Settings(
                kafka=Kafka(bootstrap_servers=broker),
                worker=WorkerSettings(id=folder.name, group_id=folder.name),
                models=Models(catalogue=folder / "shop.yaml"),
                learning=LEARNING,
                state_folder=folder,
            )
        )
        self.folder = folder
        self.learning_flags = Snapshot()
        self._made = 0
        self._producer = Producer({"bootstrap.servers": broker})
        self.acts = self.stack.enter_context(ReleaseActs(self.settings))

    def clean(self) -> None:
        if (left := self.log.trial) is not None:
            self.acts.withdraw(left.name, left.release, by="ada", reason="the test is over")
        for name, change in dict(self.writer.read().changes).items():
            if is_candidates_flag(name) and not change.deleted:
                self.writer.write(Edit(name=name, delete=True, changed_by="ada"))

    def run_trials(self, **learning: Any) -> tuple[TrialRunner, Judging]:
        """Stand for judging trials."""
        settings = self.settings.model_copy(update={"learning": LEARNING.model_copy(update=learning)})
        election = election_consumer_config(settings, "trials") | ELECTED_MS
        judging = Judging()
        runner = TrialRunner(
            settings.learning,
            new_election=lambda: Election(lambda: Consumer(election), MODELS),
            new_reader=lambda: TrialReader(settings),
            tried=lambda: self.log.trial or self.log.overtaken_trial,
            acts=ReleaseActs(settings),
            flag_log=self.writer,
            flags=lambda: self.learning_flags if self.learning_flags.revision else self.follower.snapshot,
            record=lambda verdict: write_to_audit(Producer(producer_config(settings)), verdict),
            wait_for_flags=self.follower.wait_until_caught_up,
            worker_id=settings.worker.id,
            observer=judging,
        )
        runner.start()
        self.stack.callback(runner.stop)
        return runner, judging

    @property
    def log(self) -> Any:
        return self.acts.read()

    def pushed(self) -> ModelRelease:
        """Push another head, which nobody has tried."""
        self._made += 1
        folder = self.folder / f"head-{self._made}"
        head = Head(weights=np.zeros((2, 3), np.float32), bias=np.zeros(3, np.float32), temperature=1.0)
        catalogue = load_catalogue(self.folder / "shop.yaml")
        made_for = MadeFor(catalogue=catalogue.digest, encoder="e", lessons=random.randrange(1_000_000))  # noqa: S311 - no secret
        make_zero_shot_release(folder, ZeroShotModel(cast("Any", None), head), made_for, {"disagreement": 0.1})
        location, sha256, manifest = push_release(folder, str(self.folder / "store"))
        return self.acts.announce(location, sha256, manifest, by="ada", reason="a test")

    def tried(self, by: str = "ada") -> ModelRelease:
        """Push a head, and have it tried."""
        return self.acts.shadow("zero_shot", self.pushed().release, by=by, reason="better in its contest")

    def report(self, record: ModelRelease, texts: int = 120, *, different: int = 4, users: int = 100) -> None:
        """Report as a worker does."""
        report = ShadowReport(
            model=record.name,
            release=record.release,
            served_by="r",
            worker_id="w",
            texts=texts,
            answers={"order_status": texts},
            different=tuple(
                Difference(
                    utterance_id=f"u{number}",
                    served="order_status",
                    candidate="refund",
                    served_confidence=0.5,
                    confidence=0.6,
                )
                for number in range(different)
            ),
            users=tuple(range(users)),
            reported_at=timestamp(time.time()),
        )
        self._producer.produce(CORRECTIONS_AUDIT, msgspec.json.encode(report), b"k", 0)
        assert self._producer.flush(30) == 0

    def audience(self, record: ModelRelease, fate: Callable[[str, random.Random], Fate]) -> Audience:
        return Audience(
            self.broker, flag=flag_of(record), snapshot=lambda: self.follower.snapshot, fate=fate, per_second=2_000
        )

    def serves(self, record: ModelRelease) -> bool:
        serving = self.log.serving.get(record.name)
        return serving is not None and serving.release == record.release

    def stage(self, record: ModelRelease) -> str:
        trial = self.log.find(record.name, record.release).trial
        return "" if trial is None else str(trial.stage)

    def flag(self, record: ModelRelease) -> FlagChange | None:
        return flag_state(flag_of(record), self.writer.read().changes)

    def percentages(self, record: ModelRelease) -> list[float]:
        """Return how its flag climbed, as the audit has it."""
        return [
            each.rollout_percentage
            for each in self.audited(flag_of(record))
            if each.rollout is not None and not each.deleted
        ]

    def verdicts(self, record: ModelRelease) -> list[tuple[str, str]]:
        """Return the stages that ended, and how, as the audit has it."""
        with TopicReader(self.settings, [CORRECTIONS_AUDIT], start="beginning") as reader:
            values = [json.loads(each.value() or b"") for each in reader.read_to_end()]
        return [
            (each["stage"], each["code"]) for each in values if "stage" in each and each["release"] == record.release
        ]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        create_our_topics(server.endpoint, 2)
        yield server.endpoint


@pytest.fixture
def fleet(broker: str, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(broker, tmp_path) as fleet:
        yield fleet


def harmless(_variant: str, chance: random.Random) -> Fate:
    return Fate(failed=chance.random() < 0.001, seconds=chance.lognormvariate(-4, 0.5))


def test_from_its_shadow_it_climbs_to_everybody_and_comes_to_serve(fleet: Fleet) -> None:
    fleet.candidate(Judged())
    fleet.run_trials()
    record = fleet.tried()
    assert fleet.stage(record) == "shadow"
    fleet.report(record)
    wait_until(lambda: fleet.stage(record) == "rollout", "it is rolled out")
    with fleet.audience(record, harmless):
        wait_until(lambda: fleet.serves(record), "it serves", seconds=120)
    wait_until(lambda: fleet.flag(record) is None, "its flag is gone")
    assert fleet.percentages(record) == [10.0, 25.0, 50.0, 75.0, 100.0]
    wait_until(lambda: len(fleet.verdicts(record)) == 2, "the audit knows")
    assert fleet.verdicts(record) == [("shadow", "rolled_out"), ("rollout", "promoted")]
    assert fleet.log.serving["zero_shot"].changed_by == "trial-controller"


def test_a_breach_takes_it_back_from_everybody_and_withdraws_it(fleet: Fleet) -> None:
    def fate(variant: str, chance: random.Random) -> Fate:
        return Fate(failed=chance.random() < (0.3 if variant == "on" else 0.02), seconds=0.01)

    fleet.candidate(Judged())
    _, judging = fleet.run_trials(rollout_step_seconds=3_600.0)
    served, record = fleet.log.serving.get("zero_shot"), fleet.tried()
    fleet.report(record)
    wait_until(lambda: fleet.flag(record) is not None, "it is rolled out")
    with fleet.audience(record, fate):
        wait_until(lambda: fleet.stage(record) == "withdrawn", "it is withdrawn", seconds=120)
    wait_until(lambda: fleet.flag(record) is None, "its flag is gone")
    assert fleet.percentages(record) == [10.0, 0.0]
    assert "error_rate" in fleet.log.find("zero_shot", record.release).reason
    assert fleet.log.serving.get("zero_shot") == served
    wait_until(lambda: judging.codes == ["rolled_out", "breached"], "both are counted")


def test_who_takes_over_goes_on_from_the_logs(fleet: Fleet) -> None:
    fleet.candidate(Judged())
    first, judging = fleet.run_trials()
    record = fleet.tried()
    fleet.report(record, 60)
    let_pass(1.5)
    assert judging.codes == []
    first.stop()
    second, _ = fleet.run_trials()
    fleet.report(record, 60)
    wait_until(lambda: fleet.stage(record) == "rollout", "what both have seen is enough")
    with fleet.audience(record, harmless):
        wait_until(lambda: len(fleet.percentages(record)) >= 2, "it climbs")
        second.stop()
        fleet.run_trials()
        wait_until(lambda: fleet.serves(record), "it serves", seconds=120)
    wait_until(lambda: len(fleet.verdicts(record)) == 2, "the audit knows")
    assert fleet.verdicts(record) == [("shadow", "rolled_out"), ("rollout", "promoted")]


def test_where_there_are_few_users_it_comes_to_serve_after_its_shadow(fleet: Fleet) -> None:
    fleet.run_trials()
    record = fleet.tried()
    fleet.report(record, users=5)
    wait_until(lambda: fleet.serves(record), "it serves")
    wait_until(lambda: bool(fleet.verdicts(record)), "the audit knows")
    assert fleet.verdicts(record) == [("shadow", "promoted")]


def test_one_that_answers_far_too_much_otherwise_is_withdrawn_from_its_shadow(fleet: Fleet) -> None:
    fleet.run_trials()
    record = fleet.tried()
    fleet.report(record, different=80)
    wait_until(lambda: fleet.stage(record) == "withdrawn", "it is withdrawn")
    wait_until(lambda: bool(fleet.verdicts(record)), "the audit knows")
    assert fleet.verdicts(record) == [("shadow", "disagrees")]


def test_with_learning_off_what_was_learnt_is_not_tried_and_what_a_person_pushed_is(fleet: Fleet) -> None:
    fleet.learning_flags = Snapshot({"feedback_learning": False}, revision=1)
    fleet.run_trials()
    learnt = fleet.tried(by="learner")
    wait_until(lambda: fleet.verdicts(learnt) == [("shadow", "learning_is_off")], "it is withdrawn")
    by_hand = fleet.tried()
    fleet.report(by_hand, users=5)
    wait_until(lambda: fleet.serves(by_hand), "it serves")


def test_one_command_takes_it_back_from_its_rollout(fleet: Fleet) -> None:
    fleet.run_trials()
    record = fleet.tried()
    fleet.report(record)
    wait_until(lambda: fleet.flag(record) is not None, "it is rolled out")
    served = fleet.log.serving.get("zero_shot")
    back = fleet.acts.roll_back("zero_shot", by="ada", reason="we do not like it")
    assert (back.release, back.trial and back.trial.stage) == (record.release, "withdrawn")
    assert fleet.log.serving.get("zero_shot") == served
    wait_until(lambda: fleet.flag(record) is None, "its flag is gone")


def test_what_else_comes_to_serve_ends_it(fleet: Fleet) -> None:
    fleet.run_trials()
    record, other = fleet.tried(), fleet.pushed()
    fleet.acts.promote("zero_shot", other.release, by="ada", reason="better still")
    wait_until(lambda: fleet.verdicts(record) == [("shadow", "overtaken")], "it is withdrawn")
    assert fleet.serves(other)


def test_a_flag_that_somebody_kills_withdraws_it(fleet: Fleet) -> None:
    fleet.run_trials()
    record = fleet.tried()
    fleet.report(record)
    wait_until(lambda: (flag := fleet.flag(record)) is not None and flag.rollout is not None, "it is rolled out")
    fleet.writer.write(Edit(name=flag_of(record), fields={"killed": True}, changed_by="ada", reason="stop"))
    wait_until(lambda: fleet.verdicts(record)[1:] == [("rollout", "aborted")], "it is withdrawn")


def test_one_at_a_time(fleet: Fleet) -> None:
    record, other = fleet.tried(), fleet.pushed()
    with pytest.raises(Exception, match=f"{record.release} of zero_shot is tried already"):
        fleet.acts.shadow("zero_shot", other.release, by="ada", reason="another")
    fleet.acts.roll_back("zero_shot", by="ada", reason="the other first")
    assert fleet.acts.shadow("zero_shot", other.release, by="ada", reason="another").trial is not None
    fleet.acts.withdraw("zero_shot", other.release, by="ada", reason="the end")
