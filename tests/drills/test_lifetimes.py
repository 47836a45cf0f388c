"""Workers start before their broker, stop under load, and meet another with their name.

`DRILL_STOPS` says how often a worker is told to stop under load.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.kit.brokers import new_broker
from tests.kit.ledger import Ledger
from tests.kit.load import Stream, publish, utterances
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show

pytestmark = pytest.mark.drill

STOP_SECONDS = 10.0
STOPS = int(os.environ.get("DRILL_STOPS", "3"))
APART = 3_000
"""Utterances that are answered between two stops."""


def test_a_worker_waits_for_a_broker_that_is_not_there_yet(tmp_path: Path, prepared_models: Path) -> None:
    broker = new_broker(tmp_path / "broker")
    try:
        with WorkerProcess(broker.endpoint, state_folder=prepared_models, log_file=tmp_path / "log") as worker:
            worker.wait_for("/health/live", 200)
            assert worker.status("/health/ready") == 503
            wait_until(lambda: worker.classify("hello")[0] == 200, "it answers over HTTP", seconds=120)
            assert worker.classify("hello")[1]["published"] is False
            broker.start()
            worker.wait_until_ready()
            with Ledger(broker.endpoint) as ledger:
                publish(broker.endpoint, utterances(100))
                ledger.wait_for_answers(100)
                ledger.account().check(100)
            assert worker.classify("hello")[1]["published"] is True
            assert "Traceback" not in worker.log
    finally:
        broker.stop()


@pytest.mark.timeout(900)
def test_a_worker_told_to_stop_under_load_ends_soon_and_loses_nothing(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, show: Show
) -> None:
    count = APART * (STOPS + 2)
    worker = new_worker(INTAKE__MAX_BATCH_RECORDS=500)
    took = []
    with Stream(broker.endpoint, utterances(count), per_second=1_500) as stream:
        for stop in range(STOPS):
            ledger.wait_for_answers(1_000 + APART * stop)
            exit_code, seconds = worker.terminate()
            assert (exit_code, seconds < STOP_SECONDS) == (0, True), seconds
            took.append(seconds)
            worker.start()
        stream.finish()
    ledger.wait_for_answers(count)
    account = ledger.account()
    account.check(count)
    assert "Traceback" not in worker.log
    show(f"{count} utterances, {STOPS} stops under load: {account}; longest stop {max(took):.1f} s")


def test_a_worker_told_to_stop_while_its_first_models_are_trained_leaves_at_once(
    broker: EmbeddedServer, tmp_path: Path
) -> None:
    with WorkerProcess(broker.endpoint, state_folder=tmp_path / "empty", log_file=tmp_path / "log") as worker:
        worker.wait_for("/health/live", 200)
        exit_code, seconds = worker.terminate()
        assert (exit_code, seconds < STOP_SECONDS) == (0, True), seconds
        assert [line for line in worker.log.splitlines() if not is_event(line) or is_error(line)] == []


def test_of_two_workers_with_one_id_one_goes_on(broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker) -> None:
    count = 10_000
    workers = [new_worker("worker-1")]
    workers[0].wait_until_ready()
    with Stream(broker.endpoint, utterances(count), per_second=500) as stream:
        ledger.wait_for_answers(500)
        workers.append(new_worker("worker-1"))
        wait_until(lambda: any(worker.exit_code is not None for worker in workers), "one of them ends")
        (ended,) = (worker for worker in workers if worker.exit_code is not None)
        (other,) = (worker for worker in workers if worker is not ended)
        stream.finish()
        ledger.wait_for_answers(count)
    assert other.exit_code is None
    assert other.status("/health/ready") == 200
    ledger.account().check(count)
    assert ended.exit_code == 69
    said = [line for line in ended.log.splitlines() if not is_event(line)]
    assert len(said) == 1
    assert "another live worker has the same id" in said[0]
    assert "INTENTSTREAM_WORKER__ID" in said[0]


def is_event(line: str) -> bool:
    """Say whether a line of a log is one of its events, and not free text."""
    try:
        return "event" in json.loads(line)
    except ValueError:
        return False


def is_error(line: str) -> bool:
    """Say whether an event is of an error."""
    return json.loads(line)["level"] in {"error", "critical"}
