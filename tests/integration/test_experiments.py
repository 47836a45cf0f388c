"""An experiment on a real broker and with a real worker: users keep their arms, and what is said is what is logged."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from confluent_kafka import Producer

from schemas.events import Correction, Result
from streams.topics import FEEDBACK
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command
from tests.kit.ledger import Ledger
from tests.kit.load import publish, utterances
from tests.kit.waiting import let_pass, wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

UTTERANCES = 1_000
REFUSED, LOST_RACE = 65, 75


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    with running_broker(tmp_path / "kafka") as server:
        create_our_topics(server.endpoint)
        yield server.endpoint


def ask(broker: str, *arguments: str) -> Any:
    done = run_command("experiments", *arguments, "--json", KAFKA__BOOTSTRAP_SERVERS=broker)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def refusal(broker: str, *arguments: str) -> tuple[int, str]:
    done = run_command("experiments", *arguments, KAFKA__BOOTSTRAP_SERVERS=broker)
    return done.returncode, done.stderr.decode()


def results_on(ledger: Ledger) -> list[Result]:
    return [msgspec.json.decode(record.value() or b"", type=Result) for record in ledger.results_so_far()]


def look(worker: WorkerProcess) -> Any:
    return json.loads(worker.get("/api/v1/experiments/fast_enough"))


def counted(status: Any) -> list[tuple[Any, ...]]:
    """Return of each arm what does not depend on the order in which partitions are read."""
    names = ("name", "users", "utterances", "error_rate", "degraded_rate", "correction_rate", "verdict")
    return [tuple(arm[name] for name in names) for arm in status["assessment"]["arms"]]


def correct(broker: str, results: Sequence[Result]) -> None:
    producer = Producer({"bootstrap.servers": broker})
    for result in results:
        correction = Correction(utterance_id=result.utterance_id, intent=None, person_id="ada")
        producer.produce(FEEDBACK, msgspec.json.encode(correction), result.utterance_id.encode())
    assert producer.flush(30) == 0


@pytest.mark.timeout(900)
def test_an_experiment_from_its_start_to_its_conclusion(broker: str, prepared_models: Path, tmp_path: Path) -> None:
    arms = ("--arm", "usual=adaptive", "--arm", "fast=performance")
    started = ask(broker, "start", "fast_enough", *arms, "--by", "ada", "--reason", "Are the rules enough?")
    assert (started["revision"], started["experiment"]["control"]) == (1, "usual")
    assert refusal(broker, "start", "another", *arms)[0] == REFUSED
    assert ask(broker, "status")["assessment"]["verdict"] == "NO WINNER YET"
    assert [each["flag"] for each in ask(broker, "list")] == ["fast_enough"]

    worker = WorkerProcess(broker, state_folder=prepared_models, log_file=tmp_path / "worker.log")
    with worker, Ledger(broker) as ledger:
        worker.wait_until_ready(240)
        publish(broker, utterances(UTTERANCES))
        ledger.wait_for_answers(UTTERANCES, seconds=240)
        seen = results_on(ledger)

        arms_of_user = defaultdict(set)
        for result in seen:
            assert result.user_id is not None
            arms_of_user[result.user_id].add((result.experiment_arm, result.strategy))
            assert result.exposures == {"fast_enough": result.experiment_arm}
        assert all(len(those) == 1 for those in arms_of_user.values())
        assert set.union(*arms_of_user.values()) == {("usual", "adaptive"), ("fast", "performance")}

        wait_until(
            lambda: look(worker)["outlook"]["utterances_seen"] == UTTERANCES, "a look over HTTP sees all results"
        )
        corrected = [result for result in seen if result.experiment_arm == "fast"][:40]
        correct(broker, corrected)
        let_pass(1.5)  # what is a second old is current enough to be told, and a second of it would be missing
        status = ask(broker, "status", "fast_enough")
        utterances_seen = Counter(result.experiment_arm for result in seen)
        users_seen = Counter(arm for those in arms_of_user.values() for arm, _ in those)
        degraded = Counter(result.experiment_arm for result in seen if result.degraded)
        for arm in status["assessment"]["arms"]:
            name = arm["name"]
            assert (arm["users"], arm["utterances"]) == (users_seen[name], utterances_seen[name])
            assert arm["degraded_rate"] == pytest.approx(degraded[name] / utterances_seen[name])
            assert arm["correction_rate"] == pytest.approx(40 / utterances_seen[name] if name == "fast" else 0)
            assert arm["cost"] > 0
        assert status["outlook"]["utterances_seen"] == UTTERANCES
        wait_until(lambda: counted(look(worker)) == counted(status), "the next look reads on where the last one ended")
        said = run_command("experiments", "status", KAFKA__BOOTSTRAP_SERVERS=broker).stdout.decode()
        assert status["assessment"]["verdict"] in said

        assert refusal(broker, "conclude", "--arm", "fast")[0] == REFUSED
        assert refusal(broker, "conclude", "--arm", "fast", "--anyway", "--if-match", "7")[0] == LOST_RACE
        concluded = ask(broker, "conclude", "--arm", "fast", "--anyway", "--if-match", "1", "--by", "ada")
        assert (concluded["experiment"]["winner"], concluded["changed_by"]) == ("fast", "ada")
        assert ask(broker, "status")["experiment"]["state"] == "concluded"
        publish(broker, utterances(50))
        ledger.wait_for_answers(UTTERANCES + 50)
        after = [result for result in results_on(ledger) if result.flags_revision == concluded["revision"]]
        assert {(result.strategy, result.experiment_arm) for result in after} == {("performance", None)}
