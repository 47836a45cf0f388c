"""One broker for the drills, and where what they measured is shown."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import ExitStack
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from flags.admin import admin_client
from infra.embedded.ports import free_port
from infra.embedded.server import EmbeddedServer
from models.catalogue import default_catalogue_path, load_catalogue
from streams.topics import RESULTS
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.ledger import Ledger
from tests.kit.model_servers import MLServerProgram
from tests.kit.spread import MEASURED
from tests.kit.word_release import write_release
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


Show = Callable[[str], None]
NewWorker = Callable[..., WorkerProcess]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A broker of the drills' own, with our topics on it; results carry the time at which it appended them."""
    with running_broker(tmp_path_factory.mktemp("drills")) as server:
        create_our_topics(server.endpoint)
        append_time = ConfigEntry(
            "message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET
        )
        admin = admin_client({"bootstrap.servers": server.endpoint})
        resource = ConfigResource(ResourceType.TOPIC, RESULTS, incremental_configs=[append_time])
        for done in admin.incremental_alter_configs([resource]).values():
            done.result(30)
        yield server


@pytest.fixture
def ledger(broker: EmbeddedServer) -> Iterator[Ledger]:
    """What happens on the broker's topics from now on."""
    with Ledger(broker.endpoint) as ledger:
        yield ledger


@pytest.fixture
def new_worker(broker: EmbeddedServer, prepared_models: Path, tmp_path: Path) -> Iterator[NewWorker]:
    """Start workers on the drills' broker; those still running afterwards are killed."""
    numbers = itertools.count()
    with ExitStack() as workers:

        def start(worker_id: str = "worker-1", **settings: object) -> WorkerProcess:
            log_file = tmp_path / f"{worker_id}-{next(numbers)}.log"
            worker = WorkerProcess(
                broker.endpoint, state_folder=prepared_models, log_file=log_file, worker_id=worker_id, **settings
            )
            return workers.enter_context(worker)

        yield start


@pytest.fixture
def model_server(mlserver_program: Path, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server for the shipped catalogue, whose model knows an intent by its name."""
    release = tmp_path / "release"
    release.mkdir()
    labels = load_catalogue(default_catalogue_path()).labels
    write_release(release, labels, words=labels)
    program = MLServerProgram(program=mlserver_program, release=release)
    server = EmbeddedServer(program, folder=tmp_path / "mlserver", port=free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Show:
    """Show a measured number at the end of the run, in whichever process the test runs."""
    return lambda line: request.node.user_properties.append((MEASURED, line))


@pytest.fixture
def chance(show: Show) -> Random:
    """Chance with a seed that is shown; `DRILL_SEED` sets it."""
    seed = int(os.environ.get("DRILL_SEED") or SystemRandom().randrange(2**32))
    show(f"DRILL_SEED={seed}")
    return Random(seed)  # noqa: S311 - keeps no secret
