"""Releases kept in an object store come into service as from a folder; what was changed there never does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.embedded.ports import free_port
from infra.embedded.server import EmbeddedServer
from models.catalogue import default_catalogue_path, load_catalogue
from models.preparation import prepare
from schemas.settings import Settings
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.fleet import LABELS, Fleet
from tests.kit.object_store import MotoProgram, ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def objects(moto_program: Path, tmp_path: Path) -> Iterator[ObjectStore]:
    port = free_port()
    server = EmbeddedServer(MotoProgram(program=moto_program), folder=tmp_path / "moto", port=port)
    try:
        server.start()
        yield ObjectStore(port)
    finally:
        server.stop()


@pytest.fixture
def fleet(objects: ObjectStore, moto_program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("FEATURE_FLAG_QUALITY_MODE_ENABLED", "true")
    for name, value in objects.settings().items():
        monkeypatch.setenv(name, value)
    prepare(
        Settings(state_folder=tmp_path / "state"), load_catalogue(default_catalogue_path()), lambda _what, _share: None
    )
    with running_broker(tmp_path / "kafka") as broker:
        create_our_topics(broker.endpoint, 2)
        fleet = Fleet(
            broker.endpoint,
            state=tmp_path / "state",
            folder=tmp_path,
            store=f"{objects.url}/releases",
            python=str(moto_program.with_name("python")),
        )
        with fleet.worker as worker:
            worker.wait_until_ready()
            yield fleet


def test_a_release_in_an_object_store_serves_and_one_that_was_changed_or_is_missing_there_does_not(
    fleet: Fleet, objects: ObjectStore
) -> None:
    good, changed, missing = (fleet.pushed() for _ in range(3))
    fleet.answer("promote", "distilbert", good)
    fleet.wait_until_serving(good)
    assert fleet.tier_of(LABELS[0]) == "distilbert"

    network = f"releases/distilbert/{changed}/model.onnx"
    objects.put(network, objects.get(network)[:-1] + b"!")
    fleet.answer("promote", "distilbert", changed)
    fleet.wait_until_behind("the release is damaged: model.onnx")
    assert good in fleet.health["releaseId"]

    network = f"releases/distilbert/{missing}/model.onnx"
    content = objects.get(network)
    objects.delete(network)
    fleet.answer("promote", "distilbert", missing)
    fleet.wait_until_behind("cannot be read: FileNotFoundError")
    assert good in fleet.health["releaseId"]
    assert fleet.tier_of(LABELS[0]) == "distilbert"

    objects.put(network, content)
    fleet.wait_until_serving(missing)
    fleet.wait_until_in_line()
    assert fleet.tier_of(LABELS[0]) == "distilbert"
