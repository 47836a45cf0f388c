"""The disk of Postgres, of the broker, or of a worker's own folder has no room left, and some again later."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from infra.embedded.ports import free_port
from infra.embedded.postgres import PostgresProgram
from infra.embedded.server import EmbeddedServer
from models.catalogue import default_catalogue_path, load_catalogue
from models.preparation import prepare
from schemas.settings import Settings
from tests.kit.brokers import create_our_topics, new_broker, running_broker
from tests.kit.command import run_command
from tests.kit.ledger import Ledger
from tests.kit.load import Stream, utterances
from tests.kit.sink import SinkStand
from tests.kit.small_disk import small_disk
from tests.kit.waiting import let_pass, wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.drills.conftest import Show

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

PER_SECOND = 100
OUTAGE_SECONDS = 5.0
NO_ROOM = "No space left on device"


def test_what_postgres_has_no_room_for_waits_in_kafka(prepared_models: Path, tmp_path: Path, show: Show) -> None:
    postgres = EmbeddedServer(PostgresProgram(), folder=tmp_path / "postgres", port=free_port())
    postgres.start()
    postgres.stop()
    with small_disk(postgres.folder / "data", megabytes=160) as disk, running_broker(tmp_path / "broker") as broker:
        create_our_topics(broker.endpoint)
        worker = WorkerProcess(
            broker.endpoint,
            state_folder=prepared_models,
            log_file=tmp_path / "worker.log",
            POSTGRES__DSN=postgres.endpoint,
            SINK__FLUSH_SECONDS=0.2,
        )
        try:
            postgres.start()
            stand = SinkStand(broker.endpoint, postgres.endpoint)
            with worker:
                worker.wait_until_ready()
                with Stream(broker.endpoint, utterances(100_000), per_second=PER_SECOND):
                    stand.wait_until_kept(1)
                    with disk.full():
                        wait_until(lambda: check(worker, "sink:writes")["status"] == "warn", "it is noticed")
                        let_pass(OUTAGE_SECONDS)
                        said, died = check(worker, "sink:writes")["output"], postgres.pid is None
                        assert worker.metric("intentstream_sink_read_only") == 1
                        assert worker.status("/health/ready") == 200
                        assert worker.classify("hello there")[0] == 200
                    if died:
                        postgres.stop()
                        postgres.start()
                    back = wait_until(lambda: check(worker, "sink:writes")["status"] == "pass", "it writes again")
                wait_until(lambda: stand.kept() == stand.logged(), "the rows are the results", seconds=120)
            show(f"{len(stand.kept())} results, rows equal; it said {said!r}, wrote {back:.1f} s after there was room")
        finally:
            postgres.stop()


def test_a_broker_without_room_ends_and_all_is_answered_once_it_is_back(
    prepared_models: Path, tmp_path: Path, show: Show
) -> None:
    broker = new_broker(tmp_path / "broker")
    (broker.folder / "log").mkdir(parents=True)
    with small_disk(broker.folder / "log", megabytes=64) as disk:
        try:
            broker.start()
            create_our_topics(broker.endpoint)
            worker = WorkerProcess(broker.endpoint, state_folder=prepared_models, log_file=tmp_path / "worker.log")
            with worker, Ledger(broker.endpoint) as ledger:
                worker.wait_until_ready()
                with Stream(broker.endpoint, utterances(100_000), per_second=PER_SECOND) as stream:
                    ledger.wait_for_answers(PER_SECOND)
                    with disk.full():
                        ended = wait_until(lambda: broker.pid is None, "the broker ends", seconds=120)
                        wait_until(lambda: worker.status("/health/ready") == 503, "the worker notices")
                        assert "The broker is away." in worker.get("/health/ready")
                        assert worker.status("/health/live") == 200
                        status, answer = worker.classify("hello there")
                        assert (status, answer["published"]) == (200, False)
                    broker.stop()
                    broker.start()
                    back = worker.wait_until_ready()
                    stream.stop()
                    count = stream.finish()
                ledger.wait_for_answers(count)
                account = ledger.account()
                account.check(count)
                assert worker.exit_code is None
                assert "Traceback" not in worker.log
            show(f"{count} utterances: {account}; it ended after {ended:.1f} s, ready {back:.1f} s after its start")
        finally:
            broker.stop()


def test_a_worker_whose_folder_has_no_room_serves_on_and_says_so(
    broker: EmbeddedServer, prepared_models: Path, tmp_path: Path, show: Show
) -> None:
    catalogue, state = default_catalogue_path(), tmp_path / "state"
    prepare(Settings(state_folder=prepared_models), load_catalogue(catalogue), lambda *_: None)
    shutil.copytree(prepared_models, state)
    megabytes = sum(file.stat().st_size for file in state.rglob("*") if file.is_file()) // 2**20 + 16
    with (
        small_disk(state, megabytes=megabytes) as disk,
        WorkerProcess(broker.endpoint, state_folder=state, log_file=tmp_path / "worker.log") as worker,
    ):
        worker.wait_until_ready()
        with disk.full():
            turn(worker, on=True)
            promote_catalogue(broker.endpoint, catalogue, tmp_path)
            for name in ("flags:changelog", "releases:log"):
                wait_until(
                    lambda name=name: NO_ROOM in check(worker, name).get("output", ""),  # type: ignore[misc]
                    f"{name} says that there is no room",
                    also=lambda: worker.get("/health"),
                )
            assert "cannot be read" not in check(worker, "releases:log")["output"]
            assert serves(worker)
            exit_code, _ = worker.terminate()
            assert exit_code == 0
            worker.start()
            started = worker.wait_until_ready()
            assert serves(worker)
        for name in ("flags:changelog", "releases:log"):
            wait_until(
                lambda name=name: check(worker, name)["status"] == "pass",  # type: ignore[misc]
                f"{name} is well again",
                also=lambda: worker.get("/health"),
            )
        assert "quality_mode" in (state / "flags.json").read_text()
        assert "Traceback" not in worker.log
        turn(worker, on=False)
    show(f"served on; started again without room in {started:.1f} s")


def check(worker: WorkerProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(worker.get("/health"))["checks"][name][0]
    return found


def serves(worker: WorkerProcess) -> bool:
    return worker.status("/health/ready") == 200 and worker.classify("hello there")[0] == 200


def turn(worker: WorkerProcess, *, on: bool) -> None:
    """Turn a flag, and so have one to keep."""
    body = {"enabled": on, "reason": "a drill", "changed_by": "tests"}
    status, answer = worker.patch("/api/v1/feature-flags/quality_mode", body, seconds=60)
    assert status == 200, answer


def promote_catalogue(broker: str, catalogue: Path, folder: Path) -> None:
    """Announce a release that every worker is to bring."""
    pushed = run_command(
        *("models", "push", "--catalogue", str(catalogue), "--promote"),
        KAFKA__BOOTSTRAP_SERVERS=broker,
        STATE_FOLDER=folder / "elsewhere",
        MODELS__STORE=folder / "store",
    )
    assert pushed.returncode == 0, pushed.stderr.decode()
