"""Releases come into service under traffic, on a real broker; what cannot serve never does."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer

from flags.admin import admin_client
from flags.clients import reader_config, writer_config
from models.catalogue import default_catalogue_path, load_catalogue
from models.preparation import prepare
from models.release import Manifest, Provenance
from schemas.settings import Settings
from streams.release_writer import ReleaseWriter
from streams.topics import MODELS
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.fleet import LABELS, Fleet
from tests.kit.ledger import Ledger
from tests.kit.load import Stream, publish, utterances
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 2_000
PER_SECOND = 200
AFTERWARDS = 200

SHOP = """
name: shop
intents:
  - name: order_status
    description: Asks where an order is.
    examples: [where is my parcel, track my order, when will it come, has my order shipped]
  - name: gift_wrapping
    description: Wants an order wrapped as a gift.
    examples: [please wrap it as a gift, can i have gift paper, wrap it for a birthday, put a ribbon around it]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        yield server.endpoint


@pytest.fixture
def broker(server: str) -> str:
    """A broker on which no release was ever announced."""
    admin = admin_client({"bootstrap.servers": server})
    if MODELS in admin.list_topics(timeout=20).topics:
        admin.delete_topics([MODELS])[MODELS].result(20)
        wait_until(lambda: MODELS not in admin.list_topics(timeout=20).topics, "it is gone")
    create_our_topics(server, 2)
    return server


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which the models of the shipped catalogue are prepared."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(Settings(state_folder=folder), load_catalogue(default_catalogue_path()), lambda _what, _share: None)
    return folder


def new_writer(broker: str) -> ReleaseWriter:
    client = {"bootstrap.servers": broker}
    return ReleaseWriter(
        new_producer=lambda: Producer(writer_config(client, "group", purpose="models-writer")),
        new_consumer=lambda: Consumer(reader_config(client)),
        topic=MODELS,
    )


@pytest.fixture
def fleet(broker: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("FEATURE_FLAG_QUALITY_MODE_ENABLED", "true")
    shutil.copytree(prepared, tmp_path / "worker")
    fleet = Fleet(broker, state=tmp_path / "worker", folder=tmp_path, store=str(tmp_path / "store"))
    with fleet.worker as worker:
        worker.wait_until_ready()
        yield fleet


def copy_of(fleet: Fleet, release: str) -> Path:
    """Return where the store has it."""
    return Path(fleet.store) / "distilbert" / release


def test_a_promoted_release_serves_under_traffic_and_every_utterance_is_answered_once(
    fleet: Fleet, broker: str
) -> None:
    release = fleet.pushed()
    assert release not in fleet.health["releaseId"]
    with Ledger(broker) as ledger, Stream(broker, utterances(COUNT, texts=LABELS), per_second=PER_SECOND) as stream:
        ledger.wait_for_answers(COUNT // 10)
        fleet.answer("promote", "distilbert", release, "--reason", "better", "--by", "ada")
        fleet.wait_until_serving(release)
        stream.finish()
        publish(broker, utterances(AFTERWARDS, texts=LABELS))
        ledger.wait_for_answers(COUNT + AFTERWARDS)
        account = ledger.account()
    account.check(COUNT + AFTERWARDS)
    by_release = [json.loads(result.value() or b"") for result in account.results.values()]
    tiers: dict[bool, set[str]] = {True: set(), False: set()}
    for result in by_release:
        tiers[release in result["release"]].add(result["tier"])
    assert "distilbert" in tiers[True]
    assert tiers[False]
    assert "distilbert" not in tiers[False]
    assert fleet.worker.metric("intentstream_release_swaps_total") == 1


def test_one_that_is_damaged_leaves_in_place_what_serves_and_a_rollback_brings_it_in_line(fleet: Fleet) -> None:
    good, bad = fleet.pushed(), fleet.pushed()
    fleet.answer("promote", "distilbert", good)
    fleet.wait_until_serving(good)
    with (copy_of(fleet, bad) / "model.onnx").open("ab") as file:
        file.write(b"!")
    fleet.answer("promote", "distilbert", bad)
    fleet.wait_until_behind("model.onnx")
    assert fleet.health["status"] == "warn"
    assert fleet.worker.status("/health/ready") == 200
    assert fleet.tier_of(LABELS[0]) == "distilbert"
    assert good in fleet.health["releaseId"]
    assert fleet.worker.metric("intentstream_release_failures_total") == 1  # and is not tried again
    assert fleet.worker.metric("intentstream_releases_behind") == 1
    back = fleet.answer("rollback", "distilbert")
    assert (back["release"], back["previous"]) == (good, [])
    fleet.wait_until_in_line()
    assert fleet.worker.metric("intentstream_releases_behind") == 0


def test_one_that_is_not_in_the_store_serves_once_it_is(fleet: Fleet) -> None:
    release = fleet.pushed()
    missing = copy_of(fleet, release) / "model.onnx"
    content = missing.read_bytes()
    missing.unlink()
    fleet.answer("promote", "distilbert", release)
    fleet.wait_until_behind("cannot be read")
    assert fleet.tier_of(LABELS[0]) in {"zero_shot", "rules"}
    missing.write_bytes(content)
    fleet.wait_until_serving(release)
    fleet.wait_until_in_line()
    assert fleet.tier_of(LABELS[0]) == "distilbert"


def test_an_edited_catalogue_is_served_by_zero_shot_and_leaves_out_what_was_trained_for_another(
    fleet: Fleet, tmp_path: Path
) -> None:
    tuned = fleet.pushed()
    fleet.answer("promote", "distilbert", tuned)
    fleet.wait_until_serving(tuned)
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    first = fleet.answer("push", "--catalogue", str(file), "--promote")
    assert first["left_out"] == tuned
    fleet.wait_until_serving(first["release"])
    status, answer = fleet.worker.classify("could you wrap this present for me")
    assert (status, answer["result"]["intent"], answer["result"]["tier"]) == (200, "gift_wrapping", "zero_shot")
    fleet.wait_until_behind(f"{tuned} is left out")

    for_shop = fleet.answer("push", str(fleet.trained(("order_status", "gift_wrapping"))), "--promote")
    fleet.wait_until_serving(for_shop["release"])
    fleet.wait_until_in_line()
    assert fleet.tier_of("gift_wrapping") == "distilbert"


def test_a_worker_that_starts_again_serves_what_it_served_before_the_store_answers(fleet: Fleet) -> None:
    release = fleet.pushed()
    fleet.answer("promote", "distilbert", release)
    fleet.wait_until_serving(release)
    fleet.worker.terminate()
    shutil.rmtree(fleet.store)
    fleet.worker.start()
    fleet.worker.wait_until_ready()
    fleet.wait_until_serving(release)
    wait_until(lambda: fleet.tier_of(LABELS[0]) == "distilbert", "its model is loaded")
    fleet.wait_until_in_line()


def test_writers_take_turns_and_none_overwrites_another(broker: str) -> None:
    def announce(number: int) -> None:
        writer = new_writer(broker)
        made = Manifest(files={}, provenance=Provenance(catalogue="c", code="1"))
        try:
            for release in (f"{number}a", f"{number}b", f"{number}c"):
                writer.announce("memory://store", f"{release:0<64}", made, by="ada", reason="")
                writer.promote("distilbert", f"{release:0<12}", by="ada", reason="")
        finally:
            writer.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(announce, (1, 2)))
    writer = new_writer(broker)
    log = writer.read()
    promoted = {log.serving["distilbert"].release, *log.serving["distilbert"].previous}
    back = writer.roll_back("distilbert", by="ada", reason="")
    writer.close()
    assert log.revision == 12
    assert promoted == {each.release for each in log.pushed()}
    assert len(promoted) == 6
    assert back.release == log.serving["distilbert"].previous[0]
    assert back.previous == log.serving["distilbert"].previous[1:]


def test_what_makes_no_sense_is_refused_with_why(fleet: Fleet, tmp_path: Path) -> None:
    unknown = fleet.run("promote", "distilbert", "0123456789ab")
    assert (unknown.returncode, b"there are: none" in unknown.stderr) == (64, True)
    assert fleet.run("rollback", "catalogue").returncode == 64
    (tmp_path / "empty").mkdir()
    assert b"is no release" in fleet.run("push", str(tmp_path / "empty")).stderr
    other = fleet.answer("push", str(fleet.trained(("hello", "goodbye"))))["release"]
    mismatched = fleet.run("promote", "distilbert", other)
    assert (mismatched.returncode, b"another catalogue" in mismatched.stderr) == (65, True)
    (tmp_path / "bad.yaml").write_text("name: bad\n")
    assert fleet.run("push", "--catalogue", str(tmp_path / "bad.yaml")).returncode == 65
    listed = fleet.answer("list")
    assert ([each["release"] for each in listed["pushed"]], listed["serving"]) == ([other], {})
