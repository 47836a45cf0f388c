"""The checks, asking real servers: well, gone, and hung."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient

from health.dependencies import KafkaDependency, PostgresDependency, RedisDependency
from infra.embedded.ports import free_port
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from health.checks import Dependency
    from infra.embedded.server import EmbeddedServer

SECONDS = 1.0


def kafka_dependency(endpoint: str) -> KafkaDependency:
    quiet = logging.getLogger("tests.quiet")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    return KafkaDependency(AdminClient({"bootstrap.servers": endpoint}, logger=quiet), timeout_seconds=SECONDS)


async def asked(dependency: Dependency) -> str | None:
    try:
        return await dependency.ask()
    finally:
        await dependency.close()


async def test_redis_tells_its_version(redis_server: EmbeddedServer) -> None:
    assert (await asked(RedisDependency(redis_server.endpoint)) or "").startswith("6.")


async def test_postgres_tells_its_version(postgres_server: EmbeddedServer) -> None:
    assert (await asked(PostgresDependency(postgres_server.endpoint)) or "").startswith("16.")


async def test_kafka_answers(kafka: EmbeddedServer) -> None:
    assert await asked(kafka_dependency(kafka.endpoint)) is None


async def test_what_is_not_there_is_unavailable() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    for dependency in (
        RedisDependency(f"redis://{nowhere}/0"),
        PostgresDependency(f"postgresql://intentstream@{nowhere}/intentstream"),
        kafka_dependency(nowhere),
    ):
        with pytest.raises(UnavailableError):
            await asked(dependency)


async def test_what_hangs_is_unavailable(redis_server: EmbeddedServer, postgres_server: EmbeddedServer) -> None:
    for server, dependency in (
        (redis_server, RedisDependency(redis_server.endpoint, timeout_seconds=SECONDS)),
        (postgres_server, PostgresDependency(postgres_server.endpoint, timeout_seconds=SECONDS)),
    ):
        server.suspend()
        try:
            with pytest.raises(UnavailableError):
                await asked(dependency)
        finally:
            server.resume()
