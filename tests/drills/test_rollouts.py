"""Rollouts in real workers: one that degrades answers goes back in time, one that does not survives its controller.

The bad arm is nothing we made up: the flag puts DistilBERT into the chain, and these workers have none.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from flags.rollouts.controller import CONTROLLER
from tests.kit.command import run_command
from tests.kit.load import Record, Stream
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.ledger import Ledger
    from tests.kit.worker import WorkerProcess

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

PER_SECOND = 800
SETTLED_SECONDS = 1.0
"""A batch that began by the flags of before may end after those of now are in force."""


def people() -> Iterator[Record]:
    """Yield utterances, each of somebody else."""
    run = uuid.uuid4().hex[:8]
    for number in range(1_000_000):
        event = {"text": f"I want to book flight number {number % 50}", "user_id": f"{run}-{number}"}
        yield Record(json.dumps(event).encode(), f"{run}-{number}")


def command(broker: EmbeddedServer, *arguments: str) -> Any:
    done = run_command(*arguments, "--json", KAFKA__BOOTSTRAP_SERVERS=broker.endpoint)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def rollout(broker: EmbeddedServer, *arguments: str) -> Any:
    return command(broker, "rollout", *arguments)[0]


def history(broker: EmbeddedServer, flag: str) -> list[dict[str, Any]]:
    return [change for change in command(broker, "flags", "history", flag) if change.get("rollout")]


def said(worker: WorkerProcess, event: str) -> list[dict[str, Any]]:
    lines = [line for line in worker.log.splitlines() if line.startswith("{") and event in line]
    return [line for line in map(json.loads, lines) if line.get("event") == event]


def moment(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def decided_at(result: Message) -> float:
    """Return when an answer was made; when it stands on the log is a matter of the transaction."""
    headers = cast("list[tuple[str, bytes]]", result.headers())
    return datetime.fromisoformat(dict(headers)["ce_time"].decode()).timestamp()


@pytest.fixture
def workers(broker: EmbeddedServer, new_worker: NewWorker) -> list[WorkerProcess]:
    """Two that ask the best tier first."""
    both = [new_worker(f"worker-{number}") for number in (1, 2)]
    for worker in both:
        worker.wait_until_ready()
    for flag in ("adaptive_routing", "zero_shot_fallback"):
        command(broker, "flags", "set", flag, "--off", "--reason", "So that DistilBERT comes first")
    return both


def test_from_a_breachs_verdict_on_the_canaries_end(
    broker: EmbeddedServer, workers: list[WorkerProcess], ledger: Ledger, show: Show
) -> None:
    with Stream(broker.endpoint, people(), per_second=PER_SECOND):
        wait_until(lambda: ledger.answered() > PER_SECOND, "utterances flow")
        rollout(
            broker,
            "start",
            "distilbert_model",
            "--steps",
            "25,100",
            "--guardrail",
            "degraded_rate",
            "--reason",
            "Try it",
        )
        wait_until(
            lambda: any(said(worker, "rollout_moved") for worker in workers),
            "it is rolled back",
            seconds=120,
            also=lambda: workers[0].log[-3_000:],
        )
        rolled_back_at = ledger.answered()
        wait_until(lambda: ledger.answered() > rolled_back_at + 5 * PER_SECOND, "everybody goes on", seconds=60)

    (moved,) = [line for worker in workers for line in said(worker, "rollout_moved")]
    (judged,) = [line for worker in workers for line in said(worker, "rollout_judged") if line["verdict"] == "rollback"]
    last = history(broker, "distilbert_model")[-1]
    assert (last["rollout_percentage"], last["rollout"]["state"]) == (0, "rolled_back")
    assert (last["changed_by"], last["reason"]) == (CONTROLLER, moved["why"])
    results = [(json.loads(result.value() or b""), decided_at(result)) for result in ledger.results_so_far()]
    canaries = [at for result, at in results if result.get("exposures", {}).get("distilbert_model") == "on"]
    applied = [moment(line) for worker in workers for line in said(worker, "flags_applied")]
    later = [result for result, at in results if at > max(*canaries, *applied) + SETTLED_SECONDS]
    assert len(later) > PER_SECOND
    assert not any("exposures" in result or result.get("degraded") for result in later)
    seconds = max(canaries) - moment(judged)
    in_force = [at - moment(judged) for at in applied if at >= moment(judged)]
    show(f"{moved['why']}")
    show(
        f"after the verdict: written {(moment(moved) - moment(judged)) * 1000:.0f} ms, in force everywhere "
        f"{max(in_force) * 1000:.0f} ms, last canary decision {seconds * 1000:.0f} ms"
    )


def test_who_takes_over_from_a_killed_controller_climbs_on_where_it_left_off(
    broker: EmbeddedServer, workers: list[WorkerProcess], show: Show
) -> None:
    command(broker, "flags", "set", "beta", "--create", "--off", "--reason", "To be rolled out")
    with Stream(broker.endpoint, people(), per_second=PER_SECOND):
        plan = ("--steps", "25,50,75,100", "--step-seconds", "2", "--step-utterances", "500")
        rollout(broker, "start", "beta", *plan, "--guardrail", "error_rate=1.5", "--reason", "Try it")
        wait_until(lambda: any(said(worker, "rollout_moved") for worker in workers), "it climbs", seconds=120)
        for worker in workers:  # whichever of them runs it
            shown = json.loads(worker.get("/api/v1/rollouts/beta"))
            assert (shown["flag"], shown["rollout"]["state"]) == ("beta", "running")
            assert shown["verdict"] is not None
        active = next(worker for worker in workers if said(worker, "rollout_moved"))
        other = next(worker for worker in workers if worker is not active)
        active.kill()
        took = wait_until(
            lambda: any(line["percentage"] == 100 for line in said(other, "rollout_moved")),
            "the other takes it to everyone",
            seconds=180,
            also=lambda: other.log[-3_000:],
        )
    climbed = history(broker, "beta")
    assert [change["rollout_percentage"] for change in climbed] == [25, 50, 75, 100]
    assert climbed[-1]["rollout"]["state"] == "finished"
    show(f"finished {took:.1f} s after its controller was killed")
