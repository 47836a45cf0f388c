"""No embedded server outlives whoever started it, and none is ended that someone else started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from redis import Redis, RedisError

from infra.embedded.errors import FolderInUseError, PortInUseError
from infra.embedded.ports import free_port
from infra.embedded.postgres import PostgresProgram, find_program
from infra.embedded.redis import RedisProgram
from infra.embedded.server import EmbeddedServer
from infra.embedded.servers import EmbeddedServers
from schemas.server_settings import Embedded
from schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWNER = """
import sys, time
from pathlib import Path
from infra.embedded.redis import RedisProgram
from infra.embedded.server import EmbeddedServer

server = EmbeddedServer(RedisProgram(), folder=Path(sys.argv[1]), port=int(sys.argv[2]))
server.start()
print(server.pid, flush=True)
time.sleep(120)
"""
GONE_SECONDS = 10


class Owner:
    """Another process that runs a Redis on a folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(folder), str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.server = psutil.Process(int(self.process.stdout.readline()))

    @property
    def watchers(self) -> list[psutil.Process]:
        return self.server.children()

    def kill(self) -> None:
        with self.process:  # closes its pipe, and waits for it
            self.process.kill()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path)
    yield owner
    owner.kill()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(RedisProgram(), folder=tmp_path, port=free_port())
    yield server
    server.stop()


def _settings(folder: Path, redis_port: int, **named: object) -> Settings:
    ports = Embedded(kafka_port=free_port(), redis_port=redis_port, postgres_port=free_port())
    return Settings.model_validate(
        {"state_folder": folder, "embedded": ports, "kafka": {"bootstrap_servers": "named:9092"}, **named}
    )


def test_a_server_ends_when_its_owner_is_killed(owner: Owner) -> None:
    watchers = owner.watchers
    owner.kill()
    _, alive = psutil.wait_procs([owner.server, *watchers], timeout=GONE_SECONDS)
    assert alive == []


def test_a_frozen_server_ends_when_its_owner_is_killed(owner: Owner) -> None:
    owner.server.suspend()
    owner.kill()
    owner.server.wait(GONE_SECONDS)


def test_the_terminals_interrupt_does_not_reach_a_server(owner: Owner) -> None:
    assert os.getpgid(owner.server.pid) == owner.server.pid


def test_a_server_shares_the_processor_with_its_owner_as_threads_do(owner: Owner) -> None:
    assert os.getsid(owner.server.pid) == os.getsid(owner.process.pid)


def test_a_second_owner_is_refused_while_the_first_one_lives(owner: Owner, redis: EmbeddedServer) -> None:
    with pytest.raises(FolderInUseError, match=f"process {owner.process.pid}"):
        redis.start()
    assert owner.server.is_running()


def test_a_server_left_by_a_killed_owner_is_ended_by_the_next_start(owner: Owner, redis: EmbeddedServer) -> None:
    for watcher in owner.watchers:
        watcher.kill()
    owner.kill()
    assert owner.server.is_running()
    redis.start()
    owner.server.wait(GONE_SECONDS)
    assert redis.pid is not None


def test_a_process_that_took_over_a_noted_pid_is_left_alone(tmp_path: Path, redis: EmbeddedServer) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        (tmp_path / "server.json").write_text(json.dumps({"pid": stranger.pid, "started": 1.0}))
        redis.start()
        assert stranger.poll() is None
        stranger.kill()


def test_a_stopped_server_leaves_no_process(redis: EmbeddedServer) -> None:
    redis.start()
    assert redis.pid is not None
    server = psutil.Process(redis.pid)
    family = [server, *server.children(recursive=True)]
    redis.stop()
    _, alive = psutil.wait_procs(family, timeout=GONE_SECONDS)
    assert alive == []


def test_a_frozen_server_keeps_its_connections_and_answers_nothing_until_it_is_resumed(redis: EmbeddedServer) -> None:
    redis.start()
    with Redis.from_url(redis.endpoint) as client, Redis.from_url(redis.endpoint, socket_timeout=0.2) as impatient:
        client.set("before", "1")
        redis.suspend()
        with pytest.raises(RedisError):
            impatient.get("before")
        redis.resume()
        assert client.get("before") == b"1"


def test_a_database_killed_and_started_again_has_what_was_committed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # and root alone may enter its folder, which Postgres must not run as
    postgres = EmbeddedServer(PostgresProgram(), folder=tmp_path / "postgres", port=free_port())
    try:
        postgres.start()
        _psql(postgres, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        postgres.kill()
        postgres.start()
        assert _psql(postgres, "SELECT n FROM kept") == "7"
    finally:
        postgres.stop()


def test_only_servers_that_no_setting_names_are_started(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    settings = _settings(tmp_path, free_port(), postgres={"dsn": "postgresql://named/there"})
    with EmbeddedServers(settings, on_progress=lambda name, message: said.append((name, message))) as running:
        assert [server.program.name for server in running.servers] == ["redis"]
        with Redis.from_url(settings.redis_url) as client:
            assert client.ping()
    assert said == [("redis", "starting"), ("redis", f"ready at {settings.redis_url}")]


def test_one_server_that_cannot_start_ends_the_others(tmp_path: Path, redis: EmbeddedServer) -> None:
    redis.start()
    servers = EmbeddedServers(_settings(tmp_path / "state", redis.port))
    with pytest.raises(PortInUseError, match="INTENTSTREAM_EMBEDDED__REDIS_PORT"):
        servers.__enter__()
    assert [server.pid for server in servers.servers] == [None, None]


def test_an_interrupt_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    script = (
        OWNER.replace("server.start()", "print(0, flush=True); server.start()")
        .replace("RedisProgram()", "PostgresProgram()")
        .replace("from infra.embedded.redis import RedisProgram", "from infra.embedded.postgres import PostgresProgram")
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as starting:
        assert starting.stdout is not None
        starting.stdout.readline()
        starting.send_signal(signal.SIGINT)
        starting.wait(GONE_SECONDS)
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(process.info["cmdline"] or [])
    ]
    assert psutil.wait_procs(left, timeout=GONE_SECONDS)[1] == []


def _psql(server: EmbeddedServer, query: str) -> str:
    asked = subprocess.run(
        [str(find_program("psql")), "-X", "-A", "-t", "-c", query, server.endpoint],
        capture_output=True,
        text=True,
        check=True,
    )
    return asked.stdout.strip()
