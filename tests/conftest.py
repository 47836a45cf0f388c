"""Real servers for the tests: each on a free port, in a folder of its own, and gone when the tests are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.embedded.kafka import KafkaProgram
from infra.embedded.ports import free_port
from infra.embedded.postgres import PostgresProgram
from infra.embedded.redis import RedisProgram
from infra.embedded.server import EmbeddedServer, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

JARS = Path(__file__).parents[1] / ".intentstream" / "jars"  # shared with `intentstream up`: brought once a checkout


def _serve(program: Program, folders: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(program, folder=folders.mktemp(program.name), port=free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A broker; `endpoint` is its bootstrap servers. Topic names are each test's own to keep apart.

    A test that stops, kills or suspends it leaves it running again.
    """
    yield from _serve(KafkaProgram(jars=JARS), tmp_path_factory)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A Redis; `endpoint` is its URL. A test that stops, kills or suspends it leaves it running again."""
    yield from _serve(RedisProgram(), tmp_path_factory)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A Postgres; `endpoint` is its DSN. A test that stops, kills or suspends it leaves it running again."""
    yield from _serve(PostgresProgram(), tmp_path_factory)
