"""What people correct over HTTP is answered so by every worker, from the next utterance on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.kit.command import run_command
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker
    from tests.kit.worker import WorkerProcess

SAID = "could a grown up please phone me about the thing from last week"
NEARLY = "could a grown-up please phone me about that thing from last week?"
FLAG = "/api/v1/feature-flags/feedback_learning?wait=all"


def correct(worker: WorkerProcess, text: str, intent: str | None, person: str) -> None:
    status, answer = worker.post(
        "/api/v1/feedback", {"utterance_id": "u-1", "person_id": person, "text": text, "intent": intent}
    )
    assert (status, answer["kind"]) == (201, "correction")


def answer(worker: WorkerProcess, text: str) -> dict[str, Any]:
    status, answer = worker.classify(text)
    assert status == 200
    result: dict[str, Any] = answer["result"]
    return result


def tiers(workers: list[WorkerProcess], text: str) -> set[tuple[str, str | None]]:
    return {(result["tier"], result["intent"]) for result in (answer(worker, text) for worker in workers)}


def explained(broker: EmbeddedServer, result: dict[str, Any]) -> tuple[bool, str | None]:
    """Return whether corrections counted for a decision, and who made the one that decided."""
    done = run_command("explain", result["id"], "--json", KAFKA__BOOTSTRAP_SERVERS=broker.endpoint)
    assert done.returncode == 0, done.stderr.decode()
    explanation = json.loads(done.stdout)
    assert explanation["flags_known"]
    assert (explanation["result"]["tier"], explanation["result"]["intent"]) == (result["tier"], result["intent"])
    [counted] = [flag["value"] for flag in explanation["flags"] if flag["name"] == "feedback_learning"]
    lesson = explanation.get("lesson")
    return counted, lesson and lesson["verdict"]["person_id"]


def forget(broker: EmbeddedServer, person: str) -> None:
    done = run_command(
        "feedback", "forget", "--user", person, "--wait", "60", "--json", KAFKA__BOOTSTRAP_SERVERS=broker.endpoint
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["done"]["lessons"] > 0


def test_every_worker_answers_as_people_corrected_until_that_is_taken_back(
    broker: EmbeddedServer, new_worker: NewWorker
) -> None:
    workers = [new_worker("one"), new_worker("two")]
    for worker in workers:
        worker.wait_until_ready()
    for person in ("ada", "bob"):  # the classifier may not have thought of it
        correct(workers[0], SAID, "talk_to_agent", person)
    wait_until(lambda: tiers(workers, SAID) == {("corrections", "talk_to_agent")}, "both answer so")
    wait_until(
        lambda: tiers(workers, NEARLY) == {("corrections", "talk_to_agent")},
        "both answer so what is near",
        seconds=240.0,  # it is measured on first use
        also=lambda: workers[0].log[-3_000:],
    )
    assert {answer(worker, SAID)["lesson"] for worker in workers} == {answer(workers[0], SAID)["corrections_revision"]}
    assert not any(tier == "corrections" for tier, _ in tiers(workers, "where is my parcel?"))

    corrected = answer(workers[1], SAID)

    off = {"enabled": False, "reason": "Nothing is to be learnt", "changed_by": "tests"}
    assert workers[0].patch(FLAG, off, seconds=60)[0] == 200
    uncorrected = answer(workers[1], SAID)
    assert not any(tier == "corrections" for tier, _ in tiers(workers, SAID))
    assert explained(broker, corrected) in {(True, "ada"), (True, "bob")}
    assert explained(broker, uncorrected) == (False, None)
    correct(workers[1], "make it rain", None, "ada")
    correct(workers[1], "make it rain", None, "bob")
    assert workers[0].patch(FLAG, off | {"enabled": True}, seconds=60)[0] == 200
    wait_until(
        lambda: tiers(workers, "make it rain") == {("corrections", None)}, "what was collected is worked through"
    )

    for person in ("ada", "bob"):
        forget(broker, person)
    wait_until(
        lambda: not any(tier == "corrections" for said in (SAID, "make it rain") for tier, _ in tiers(workers, said)),
        "both have forgotten",
    )
