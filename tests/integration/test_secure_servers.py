"""Redis and Postgres behind TLS: asked where they are trusted, and where not, why not, without a secret."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest

from health.dependencies import PostgresDependency, RedisDependency
from models.redis_store import RedisStore
from schemas.errors import InvalidSettingsError, UnavailableError
from schemas.settings_loading import load_settings
from streams.sink.database import Database, DatabaseAwayError
from tests.kit.secure_servers import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from health.checks import Dependency
    from schemas.settings import Settings
    from tests.kit.client_certificates import Certificate
    from tests.kit.secure_servers import SecureServers

SECONDS = 20.0
WRONG = "planted-password-that-is-wrong"


@pytest.fixture
def set_up(secure: SecureServers, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the settings for talking to the servers, some of them changed."""

    def load(**changed: object) -> Settings:
        for name, value in secure.settings(**changed).items():
            monkeypatch.setenv(f"INTENTSTREAM_{name}", str(value))
        return load_settings()

    return load


@pytest.fixture(autouse=True)
async def _nothing_is_left_open(secure: SecureServers) -> AsyncIterator[None]:
    """Wait until the last connection is closed: TLS takes its leave in turns, and the loop of a test ends with it."""
    yield
    ours = {urlsplit(each).port for each in secure if isinstance(each, str)}
    async with asyncio.timeout(60):
        while any(each.raddr and each.raddr.port in ours for each in psutil.Process().net_connections("tcp")):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)


async def refusal(dependency: Dependency) -> str:
    """Return what a dependency says of why it cannot be asked."""
    try:
        with pytest.raises(UnavailableError) as refused:
            await dependency.ask()
    finally:
        await dependency.close()
    assert "planted" not in str(refused.value)
    return str(refused.value)


async def redis_refusal(settings: Settings) -> str:
    return await refusal(RedisDependency(settings.redis_url, timeout_seconds=SECONDS))


async def postgres_refusal(settings: Settings) -> str:
    said = await refusal(PostgresDependency(settings.postgres_dsn, timeout_seconds=SECONDS))
    with pytest.raises(DatabaseAwayError) as refused:  # the sink's own connection says the same
        async with Database(settings.postgres_dsn, deadline_seconds=SECONDS):
            pass
    assert str(refused.value) == said
    return said


async def test_whoever_the_authority_has_signed_is_asked(set_up: Any) -> None:
    settings = set_up()
    redis = RedisDependency(settings.redis_url, timeout_seconds=SECONDS)
    assert await redis.ask()
    await redis.close()
    assert await PostgresDependency(settings.postgres_dsn, timeout_seconds=SECONDS).ask()


async def test_a_wrong_password_is_said_to_be_one(set_up: Any, secure: SecureServers) -> None:
    settings = set_up(
        REDIS__URL=secure.redis.replace(PASSWORD, WRONG), POSTGRES__DSN=secure.postgres.replace(PASSWORD, WRONG)
    )
    assert "invalid username-password pair" in await redis_refusal(settings)
    assert "authentication failed" in await postgres_refusal(settings)


async def test_a_certificate_that_has_expired_is_not_trusted(set_up: Any, secure: SecureServers) -> None:
    settings = set_up(REDIS__URL=secure.expired_redis, POSTGRES__DSN=secure.expired_postgres)
    assert "certificate has expired" in await redis_refusal(settings)
    assert "certificate has expired" in await postgres_refusal(settings)


async def test_nor_is_one_that_somebody_else_has_signed(set_up: Any, secure: SecureServers) -> None:
    settings = set_up(REDIS__SSL_CA_LOCATION=secure.stranger, POSTGRES__SSL_CA_LOCATION=secure.stranger)
    assert "certificate" in await redis_refusal(settings)
    assert "certificate is not trusted" in await postgres_refusal(settings)


async def test_nor_is_one_for_another_host(set_up: Any, secure: SecureServers) -> None:
    settings = set_up(
        REDIS__URL=secure.redis.replace("127.0.0.1", "localhost"),
        POSTGRES__DSN=secure.postgres.replace("127.0.0.1", "localhost"),
    )
    assert "ostname mismatch" in await redis_refusal(settings)
    assert "ostname mismatch" in await postgres_refusal(settings)


async def test_what_the_url_says_of_trust_yields_to_the_setting(set_up: Any, secure: SecureServers) -> None:
    settings = set_up(
        REDIS__URL=f"{secure.expired_redis}?ssl_cert_reqs=none&ssl_check_hostname=false",
        POSTGRES__DSN=f"{secure.expired_postgres}?sslmode=require",
    )
    assert "certificate has expired" in await redis_refusal(settings)
    assert "certificate has expired" in await postgres_refusal(settings)


@pytest.fixture
def show(secure: SecureServers, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the settings for talking to those who want a certificate, with that one or none."""

    def load(certificate: Certificate | None) -> Settings:
        for name, value in secure.settings_with(certificate).items():
            monkeypatch.setenv(f"INTENTSTREAM_{name}", str(value))
        return load_settings()

    return load


async def test_whoever_shows_a_certificate_that_is_wanted_is_answered(show: Any, secure: SecureServers) -> None:
    settings = show(secure.certificates.ours)
    redis = RedisDependency(settings.redis_url, timeout_seconds=SECONDS)
    assert await redis.ask()
    await redis.close()
    assert await PostgresDependency(settings.postgres_dsn, timeout_seconds=SECONDS).ask()
    cache = RedisStore(settings)
    await cache.write({b"key": b"value"})
    assert await cache.read([b"key"]) == [b"value"]
    await cache.close()


async def test_whoever_shows_none_is_told_so(show: Any) -> None:
    settings = show(None)
    said = await redis_refusal(settings)
    assert "certificate required" in said or "want a certificate of ours" in said, "the former, if it is not lost"
    assert "it wants a certificate of ours" in await postgres_refusal(settings)


async def test_whoever_shows_a_strangers_is_told_so(show: Any, secure: SecureServers) -> None:
    settings = show(secure.certificates.strangers)
    said = await redis_refusal(settings)
    assert "unknown ca" in said or "want a certificate of ours" in said, "the former, if it is not lost"
    assert "it may not trust that" in await postgres_refusal(settings)


@pytest.mark.parametrize("name", ["REDIS__SSL_CA_LOCATION", "POSTGRES__SSL_CA_LOCATION"])
def test_a_file_of_authorities_that_is_none_is_named(set_up: Any, tmp_path: Path, name: str) -> None:
    no_certificate = tmp_path / "text.pem"
    no_certificate.write_text("planted")
    for path in (tmp_path / "nowhere.pem", no_certificate):
        with pytest.raises(InvalidSettingsError, match=f"INTENTSTREAM_{name}.*PEM file") as refused:
            set_up(**{name: path})
        assert "planted" not in str(refused.value)


def test_authorities_without_tls_are_a_mistake(set_up: Any) -> None:
    with pytest.raises(InvalidSettingsError, match="rediss://"):
        set_up(REDIS__URL="redis://127.0.0.1:1/0")
    with pytest.raises(InvalidSettingsError, match="dsn"):
        set_up(POSTGRES__DSN="")
