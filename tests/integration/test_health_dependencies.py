"""The checks, asking real servers: well, gone, and hung."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from flags.admin import admin_client
from health.dependencies import KafkaDependency, PostgresDependency, RedisDependency, ReleaseStoreDependency
from infra.embedded.ports import free_port
from schemas.errors import InvalidSettingsError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from health.checks import Dependency
    from infra.embedded.server import EmbeddedServer

SECONDS = 1.0


def kafka_dependency(endpoint: str) -> KafkaDependency:
    quiet = logging.getLogger("tests.quiet")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    admin = admin_client({"bootstrap.servers": endpoint, "logger": quiet})
    return KafkaDependency(admin, endpoint, timeout_seconds=SECONDS)


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


class SilentAdmin(AdminClient):
    """An admin client that no broker answers."""

    def __init__(self) -> None:
        self.questions = 0

    def list_topics(self, *_arguments: object, **_options: object) -> ClusterMetadata:
        self.questions += 1
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))


@pytest.mark.parametrize("server", ["{}", "PLAINTEXT://{}", "127.0.0.1:1,{}"])
async def test_a_broker_that_did_not_answer_is_left_alone_until_somebody_listens(server: str) -> None:
    admin, address = SilentAdmin(), f"127.0.0.1:{free_port()}"
    kafka = KafkaDependency(admin, server.format(address), timeout_seconds=SECONDS)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await kafka.ask()
    assert admin.questions == 1
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        with pytest.raises(UnavailableError):
            await kafka.ask()
        assert admin.questions == 2


async def test_a_store_answers_where_it_is_there_and_says_why_where_not(tmp_path: Path) -> None:
    assert await asked(ReleaseStoreDependency(tmp_path.as_uri())) is None
    with pytest.raises(UnavailableError, match="Release store"):
        await asked(ReleaseStoreDependency("nowhere-known://releases"))


async def test_a_store_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, questions = threading.Event(), []

    def hang(store: str) -> None:
        questions.append(store)
        answers.wait()

    monkeypatch.setattr("health.dependencies.reach_store", hang)
    store = ReleaseStoreDependency("memory://releases")
    first = asyncio.ensure_future(store.ask())
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="earlier"):
        await store.ask()
    answers.set()
    await first
    await asked(store)
    assert len(questions) == 2


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
