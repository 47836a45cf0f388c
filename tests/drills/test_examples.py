"""The examples for neighbours, as they stand in the documentation, before a real worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from infra.generate import ROOT
from streams.topics import RESULTS
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

EXAMPLES = ROOT / "docs" / "examples"
ASKED = "where on earth is the parcel I ordered"
_RUN_SECONDS = 120


class Examples:
    """The examples in one language.

    Args:
        program: What runs them.
        folder: Where they are.
        suffix: Of their names.
        environment: Where the broker and the worker are.
    """

    def __init__(self, program: str, folder: Path, suffix: str, environment: dict[str, str]) -> None:
        self._program = program
        self._folder = folder
        self._suffix = suffix
        self._environment = os.environ | environment

    def run(self, name: str, *arguments: str) -> str:
        """Run one to its end; return what it said."""
        done = subprocess.run(
            self._line(name, *arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_SECONDS,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    @contextmanager
    def running(self, name: str, said: Path) -> Iterator[None]:
        """Run one until the context is left, and see that Ctrl-C ends it well."""
        group = {"GROUP": f"neighbour-{uuid.uuid4().hex[:8]}"}
        with said.open("wb") as output:
            process = subprocess.Popen(
                self._line(name), env=self._environment | group, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            yield
            process.send_signal(signal.SIGINT)
            assert process.wait(_RUN_SECONDS) == 0, said.read_text()
        finally:
            process.kill()
            process.wait()

    def _line(self, name: str, *arguments: str) -> list[str]:
        return [self._program, str(self._folder / f"{name}{self._suffix}"), *arguments]


@pytest.fixture(scope="module")
def worker(
    broker: EmbeddedServer, prepared_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A worker for all of these."""
    log_file = tmp_path_factory.mktemp("examples") / "worker.log"
    with WorkerProcess(broker.endpoint, state_folder=prepared_models, log_file=log_file) as worker:
        worker.wait_until_ready()
        yield worker


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node examples with what they need, in a folder of their own."""
    if shutil.which("node") is None or (npm := shutil.which("npm")) is None:
        pytest.skip("needs Node and npm: Debian's packages are `nodejs` and `npm`")
    folder = tmp_path_factory.mktemp("node") / "examples"
    shutil.copytree(EXAMPLES / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--silent"], cwd=folder, capture_output=True, check=False, timeout=180
    )
    if done.returncode:
        pytest.skip(f"needs kafkajs, which npm does not bring: {done.stderr.decode()[-300:]}")
    return folder


@pytest.fixture(params=["python", "node"])
def examples(request: pytest.FixtureRequest, worker: WorkerProcess, broker: EmbeddedServer) -> Examples:
    """Those of a language."""
    environment = {"KAFKA": broker.endpoint, "WORKER": f"127.0.0.1:{worker.port}"}
    if request.param == "python":
        return Examples(sys.executable, EXAMPLES / "python", ".py", environment)
    return Examples("node", request.getfixturevalue("node_folder"), ".mjs", environment)


def test_what_is_sent_is_answered_and_what_was_taken_back_is_not_seen(
    examples: Examples, broker: EmbeddedServer, tmp_path: Path
) -> None:
    taken_back = _write_and_take_back(broker.endpoint)
    sent = examples.run("produce", ASKED)
    said = tmp_path / "said"
    with examples.running("consume", said):
        wait_until(lambda: _line_of(said, sent) is not None, "its result is read", also=said.read_text)
    intent, confidence, tier = (_line_of(said, sent) or "").split()
    assert intent == "order_status"
    assert 0 < float(confidence) <= 1
    assert tier
    assert _line_of(said, taken_back) is None


@pytest.mark.parametrize("way", ["correct", "correct_over_http"])
def test_what_two_people_correct_is_answered_so(
    examples: Examples, worker: WorkerProcess, way: str, request: pytest.FixtureRequest
) -> None:
    text = f"the purple thing hums again {request.node.name}"
    for person in ("ada", "bob"):
        examples.run(way, "u-1", text, "talk_to_agent", person)
    wait_until(lambda: _answer(worker, text) == ("talk_to_agent", "corrections"), "the worker answers so")


def _answer(worker: WorkerProcess, text: str) -> tuple[str | None, str]:
    status, answer = worker.classify(text)
    assert status == 200
    return answer["result"]["intent"], answer["result"]["tier"]


def _line_of(said: Path, utterance_id: str) -> str | None:
    """Return what was said of an utterance, once the line is whole."""
    lines = [line for line in said.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return next((line.removeprefix(utterance_id) for line in lines if line.startswith(utterance_id)), None)


def _write_and_take_back(broker: str) -> str:
    """Write a result to every partition in a transaction that is aborted; return whose it claims to be."""
    claimed = f"taken-back-{uuid.uuid4().hex}"
    result = {"utterance_id": claimed, "intent": "greeting", "confidence": 1.0, "tier": "rules"}
    producer = Producer({"bootstrap.servers": broker, "transactional.id": claimed})
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in range(len(producer.list_topics(RESULTS, timeout=30).topics[RESULTS].partitions)):
        producer.produce(RESULTS, json.dumps(result), partition=partition)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)
    return claimed
