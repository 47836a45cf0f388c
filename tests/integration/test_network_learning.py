"""Corrections teach the fine-tuned network: in a process of its own, judged, announced, served, and forgotten again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from models.release import release_name
from models.store import push_release
from schemas.server_settings import Kafka
from schemas.settings import Settings
from streams.reader import TopicReader
from streams.topics import CORRECTIONS_AUDIT
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.command import run_command
from tests.kit.gift_shop import CORRECTIONS, DAYS, SHOP
from tests.kit.load import publish, utterances
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("torch", reason="needs the extra `train`: `uv sync --extra train`")
pytestmark = [pytest.mark.train, pytest.mark.timeout(900)]

CORRECTED = [*CORRECTIONS, *(f"gift wrapping {day} morning" for day in DAYS)]
TRAFFIC = [
    f"{said} {last}"
    for said in ("where is my parcel", "track my order", "wrap it as a gift", "a ribbon around it", "when do you open")
    for last in ("please", "now", "today", "my friend", "again")
]


class Shop:
    """A worker that learns, and what it says of that."""

    def __init__(self, worker: WorkerProcess, broker: str, folder: Path) -> None:
        self.worker = worker
        self._broker = broker
        self._catalogue = folder / "shop.yaml"

    def correct(self) -> None:
        for number, text in enumerate(CORRECTED):
            said = {"utterance_id": f"u{number}", "person_id": f"p{number}", "text": text, "intent": "opening_hours"}
            assert self.worker.post("/api/v1/feedback", said)[0] == 201

    def command(self, *arguments: str) -> Any:
        done = run_command(*arguments, KAFKA__BOOTSTRAP_SERVERS=self._broker, MODELS__CATALOGUE=self._catalogue)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def challenges(self) -> list[Any]:
        """Return what the audit says of networks."""
        settings = Settings(kafka=Kafka(bootstrap_servers=self._broker))
        with TopicReader(settings, [CORRECTIONS_AUDIT], start="beginning") as reader:
            said = [json.loads(record.value() or b"") for record in reader.read_to_end()]
        return [value for value in said if value.get("model") == "distilbert"]

    def wait_until_serving(self, release: str) -> None:
        wait_until(
            lambda: (
                json.loads(self.worker.get("/health") or "{}").get("releaseId", "").endswith(f"+distilbert.{release}")
            ),
            f"{release} serves",
            also=lambda: self.worker.log[-6_000:],
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "shop.yaml").write_text(SHOP, "utf-8")
    trained = run_command(
        *("train", "--out", str(tmp_path / "distilbert"), "--no-refit"),
        MODELS__CATALOGUE=tmp_path / "shop.yaml",
        STATE_FOLDER=tmp_path / "state",
    )
    assert trained.returncode == 0, trained.stderr.decode()
    with running_broker(tmp_path / "kafka") as server:
        create_our_topics(server.endpoint, 2)
        publish(server.endpoint, utterances(len(TRAFFIC), texts=TRAFFIC))
        worker = WorkerProcess(
            server.endpoint,
            state_folder=tmp_path / "worker",
            log_file=tmp_path / "worker.log",
            MODELS__CATALOGUE=tmp_path / "shop.yaml",
            MODELS__STORE=tmp_path / "store",
            LEARNING__RETRAIN_AFTER=1_000,
            LEARNING__FINE_TUNE_AFTER=len(CORRECTED),
            LEARNING__RELEASE_BY="at_once",
        )
        with worker:
            worker.wait_until_ready()
            yield Shop(worker, server.endpoint, tmp_path)


def test_a_network_that_was_taught_serves_until_what_it_learnt_is_forgotten(shop: Shop, tmp_path: Path) -> None:
    owner = release_name(push_release(tmp_path / "distilbert", str(tmp_path / "store"))[1])
    shop.command("models", "push", str(tmp_path / "distilbert"), "--store", str(tmp_path / "store"), "--promote")
    shop.wait_until_serving(owner)
    shop.correct()
    wait_until(
        lambda: shop.worker.metric("intentstream_corrections_revision") == len(CORRECTED),
        "all are learnt",
        also=lambda: shop.worker.log[-6_000:],
    )
    assert shop.worker.metric("intentstream_network_learning") == 0  # nobody is answered by the network
    shop.command("flags", "set", "distilbert_model", "--on", "--reason", "to see it learn")
    wait_until(
        lambda: bool(shop.challenges()),
        "the audit tells of a network",
        seconds=400,
        also=lambda: shop.worker.log[-6_000:],
    )
    [challenge] = shop.challenges()
    assert challenge["code"] == "better", challenge["reason"]
    assert (challenge["corrections"], challenge["lessons"]) == (len(CORRECTED), len(CORRECTED))
    shop.wait_until_serving(challenge["release"])
    assert shop.worker.metric("intentstream_network_challenges_total") == 1
    shop.command("feedback", "forget", "--user", "p1", "--reason", "a test")
    shop.wait_until_serving(owner)
