"""While Postgres is killed, read-only or frozen, workers answer as ever; afterwards its rows are just the results."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer

from infra.chaos.freezing import frozen
from infra.embedded.ports import free_port
from infra.embedded.postgres import PostgresProgram
from infra.embedded.server import EmbeddedServer
from streams.reader import TopicReader
from streams.topics import RESULTS, UTTERANCES
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.load import our_texts
from tests.kit.sink import SinkStand
from tests.kit.waiting import let_pass, wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.drills.conftest import Show

PHASE_SECONDS = 4.0
EVERY_SECONDS = 0.02


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(PostgresProgram(), folder=tmp_path / "postgres", port=free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Speaker:
    """Says something again and again, until it is told to stop; each utterance's id tells what was going on."""

    def __init__(self, broker: str) -> None:
        self.phase = "well"
        self.said = 0
        self._producer = Producer({"bootstrap.servers": broker, "linger.ms": 0})
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._speak)

    @contextmanager
    def speaking(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ending.set()
            self._thread.join()
            assert self._producer.flush(30) == 0

    def _speak(self) -> None:
        texts = our_texts()
        while not self._ending.wait(EVERY_SECONDS):
            said = {"id": f"{self.phase}-{self.said}", "text": texts[self.said % len(texts)], "user_id": "ada"}
            self._producer.produce(UTTERANCES, json.dumps(said).encode(), str(self.said).encode())
            self._producer.poll(0)
            self.said += 1


@contextmanager
def killed(postgres: EmbeddedServer, _stand: SinkStand) -> Iterator[None]:
    postgres.kill()
    try:
        yield
    finally:
        postgres.start()


@contextmanager
def read_only(_postgres: EmbeddedServer, stand: SinkStand) -> Iterator[None]:
    """As Postgres is set by whoever sees its disk fill."""
    stand.ask("ALTER SYSTEM SET default_transaction_read_only = on")
    stand.ask("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        stand.ask("ALTER SYSTEM RESET default_transaction_read_only")
        stand.ask("SELECT pg_reload_conf()")


@contextmanager
def suspended(postgres: EmbeddedServer, _stand: SinkStand) -> Iterator[None]:
    with frozen(postgres):
        yield


def test_postgres_may_do_what_it_wants(
    postgres: EmbeddedServer, prepared_models: Path, tmp_path: Path, show: Show
) -> None:
    with running_broker(tmp_path / "kafka") as broker:
        create_our_topics(broker.endpoint, partitions=4)
        stand, speaker = SinkStand(broker.endpoint, postgres.endpoint), Speaker(broker.endpoint)
        worker = WorkerProcess(
            broker.endpoint,
            state_folder=prepared_models,
            log_file=tmp_path / "worker.log",
            POSTGRES__DSN=postgres.endpoint,
            SINK__DEADLINE_SECONDS=1.0,
            SINK__FLUSH_SECONDS=0.2,
        )
        with worker:
            worker.wait_until_ready()
            with speaker.speaking():
                stand.wait_until_kept(1)
                let_pass(PHASE_SECONDS)
                for outage in (killed, read_only, suspended):
                    with outage(postgres, stand):
                        speaker.phase = outage.__name__
                        wait_until(lambda: sink_of(worker)["status"] == "warn", f"{outage.__name__} is noticed")
                        let_pass(PHASE_SECONDS)
                        assert worker.metric("intentstream_sink_read_only") == 1
                        assert worker.metric("intentstream_sink_lag_seconds") > 1
                    speaker.phase = "well"
                    wait_until(lambda: sink_of(worker)["status"] == "pass", "it writes again")
            wait_until(lambda: len(stand.logged()) == speaker.said, "everything is answered")
            stand.wait_until_kept(speaker.said)
            assert stand.kept() == stand.logged()
            assert worker.status("/api/v1/results") == 200
        show(f"{speaker.said} results, rows equal; {latencies(stand)}")


def sink_of(worker: WorkerProcess) -> dict[str, Any]:
    check: dict[str, Any] = json.loads(worker.get("/health"))["checks"]["sink:writes"][0]
    return check


def latencies(stand: SinkStand) -> str:
    """Say how long answers took in each phase, from the utterance's append to the result's."""
    said: dict[str, int] = {}
    seconds: dict[str, list[float]] = {}
    with TopicReader(stand.settings, [UTTERANCES], start="beginning") as reader:
        for record in reader.read_to_end():
            said[msgspec.json.decode(record.value() or b"")["id"]] = record.timestamp()[1]
    with TopicReader(stand.settings, [RESULTS], start="beginning") as reader:
        for record in reader.read_to_end():
            utterance_id = msgspec.json.decode(record.value() or b"")["utterance_id"]
            took = (record.timestamp()[1] - said[utterance_id]) / 1000
            seconds.setdefault(utterance_id.partition("-")[0], []).append(took)
    return "; ".join(
        f"{phase}: {len(took)} in p50 {np.percentile(took, 50):.3f} s, p99 {np.percentile(took, 99):.3f} s"
        for phase, took in seconds.items()
    )
