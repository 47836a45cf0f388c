"""What people correct over HTTP is answered so by every worker, from the next utterance on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.kit.waiting import wait_until

if TYPE_CHECKING:
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


def test_every_worker_answers_as_people_corrected(new_worker: NewWorker) -> None:
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

    off = {"enabled": False, "reason": "Nothing is to be learnt", "changed_by": "tests"}
    assert workers[0].patch(FLAG, off, seconds=60)[0] == 200
    assert not any(tier == "corrections" for tier, _ in tiers(workers, SAID))
    correct(workers[1], "make it rain", None, "ada")
    correct(workers[1], "make it rain", None, "bob")
    assert workers[0].patch(FLAG, off | {"enabled": True}, seconds=60)[0] == 200
    wait_until(
        lambda: tiers(workers, "make it rain") == {("corrections", None)}, "what was collected is worked through"
    )
