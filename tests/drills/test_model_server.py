"""A model server dies under load and comes back: the worker answers without it, says so, and takes it up again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from models.catalogue import default_catalogue_path, load_catalogue
from tests.kit.load import Stream, utterances
from tests.kit.model_servers import TEXTS, VERSION
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.ledger import Ledger
    from tests.kit.worker import WorkerProcess

pytestmark = pytest.mark.drill

COUNT = 6_000
PER_SECOND = 400
LABELS = load_catalogue(default_catalogue_path()).labels


@pytest.fixture(autouse=True)
def _distilbert_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURE_FLAG_QUALITY_MODE_ENABLED", "true")


def test_a_model_server_may_die_and_come_back(
    model_server: EmbeddedServer, broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, show: Show
) -> None:
    served = {"REMOTE__KIND": "oip", "REMOTE__URL": model_server.endpoint, "REMOTE__MODEL": TEXTS}
    worker = new_worker(**served, CACHE__LOCAL_ENTRIES=0, CHAIN__BREAKER_OPEN_SECONDS=1)
    worker.wait_until_ready()
    wait_until(lambda: answered_by(worker) == "distilbert", "the model server answers")
    assert health_of(worker)["version"] == VERSION
    with Stream(broker.endpoint, utterances(COUNT, texts=LABELS), per_second=PER_SECOND) as stream:
        ledger.wait_for_answers(COUNT // 5)
        model_server.kill()
        try:
            wait_until(lambda: health_of(worker)["status"] == "warn", "the worker says that the server is away")
            assert "cannot be reached" in health_of(worker)["output"]
            assert worker.status("/health/ready") == 200
            assert answered_by(worker) in {"zero_shot", "rules"}
        finally:
            model_server.start()
        back = wait_until(lambda: answered_by(worker) == "distilbert", "the model server answers again")
        stream.finish()
        ledger.wait_for_answers(COUNT)
    account = ledger.account()
    account.check(COUNT)
    show(f"{COUNT} utterances, model server killed and started again: {account}; asked again after {back:.1f} s")


def answered_by(worker: WorkerProcess) -> str:
    """Classify the name of an intent, and return the tier that knew it."""
    status, answer = worker.classify(LABELS[0])
    assert status == 200, worker.log[-2_000:]
    tier: str = answer["result"]["tier"]
    return tier


def health_of(worker: WorkerProcess) -> dict[str, Any]:
    """Return what the worker says of its model server."""
    [check] = json.loads(worker.get("/health"))["checks"]["model_server:availability"]
    told: dict[str, Any] = check
    return told
