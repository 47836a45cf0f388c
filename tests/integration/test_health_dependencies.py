"""The checks, asking real servers: well, gone, and hung."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient

from health.dependencies import KafkaDependency, PostgresDependency, RedisDependency
from infra.embedded.ports import free_port
from schemas.errors import InvalidSettingsError, UnavailableError

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


async def test_what_postgres_refuses_names_no_role_and_no_database(postgres_server: EmbeddedServer) -> None:
    address = postgres_server.endpoint.rpartition("@")[2].partition("/")[0]
    with pytest.raises(UnavailableError) as no_role:
        await asked(PostgresDependency(f"postgresql://planted_role@{address}/planted_base"))
    with pytest.raises(UnavailableError) as no_database:
        await asked(PostgresDependency(postgres_server.endpoint.rpartition("/")[0] + "/planted_base"))
    assert str(no_role.value) == "Postgres: authentication failed (SQLSTATE 28000)."
    assert str(no_database.value) == "Postgres: InvalidCatalogNameError (SQLSTATE 3D000)."


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql:///db?host=127.0.0.1&port=planted",
        "postgresql:///db?host=127.0.0.1&port=99999",
        "postgresql://127.0.0.1/db?planted",
        "postgresql://127.0.0.1/db?sslmode=planted",
        "postgresql://127.0.0.1/db?sslmode=verify-full&sslrootcert=/planted",
    ],
)
async def test_a_dsn_that_postgres_cannot_use_is_a_sentence_without_its_values(dsn: str) -> None:
    with pytest.raises(UnavailableError, match="INTENTSTREAM_POSTGRES__DSN") as refused:
        await asked(PostgresDependency(dsn))
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("parameter", ["planted=1", "db=planted"])
async def test_a_url_that_redis_cannot_use_is_a_sentence(parameter: str) -> None:
    with pytest.raises((UnavailableError, InvalidSettingsError), match="INTENTSTREAM_REDIS__URL"):
        await asked(RedisDependency(f"redis://127.0.0.1:{free_port()}/0?{parameter}"))


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
