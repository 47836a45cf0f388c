"""How each dependency is asked: with the cheapest request that it can only answer if it works."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import asyncpg
from confluent_kafka import KafkaException
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from schemas.errors import InvalidSettingsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from confluent_kafka.admin import AdminClient


_UNUSABLE = (ValueError, OverflowError, FileNotFoundError, PermissionError)
"""What asyncpg raises over a DSN; its own ClientConfigurationError is a ValueError, too."""


class KafkaDependency:
    """The broker, asked for its metadata.

    Not with `describe_cluster`: where a broker has just been fenced, and so names no brokers at all, librdkafka takes
    the answer for a parsing error without a code, and an assertion ends the process.
    """

    name = "kafka"

    def __init__(self, admin: AdminClient, *, timeout_seconds: float = 2.0) -> None:
        self._admin = admin
        self._timeout_seconds = timeout_seconds

    async def ask(self) -> str | None:
        """Ask for the cluster's metadata; Kafka tells no version.

        Raises:
            UnavailableError: No broker answered.
        """
        try:
            metadata = await asyncio.to_thread(self._admin.list_topics, timeout=self._timeout_seconds)
        except KafkaException as error:
            raise UnavailableError(f"Kafka: {error.args[0].str()}") from error
        if not metadata.brokers:
            raise UnavailableError("Kafka: no broker is ready.")
        return None

    async def close(self) -> None:
        """Do nothing: the client is its owner's."""


class RedisDependency:
    """Redis, asked for a PONG."""

    name = "redis"

    def __init__(self, url: str, *, timeout_seconds: float = 2.0) -> None:
        """Make a client; it connects when it is asked.

        Raises:
            InvalidSettingsError: The URL has a value that the client cannot use.
        """
        try:
            self._client = Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds)
        except ValueError as error:
            raise InvalidSettingsError("INTENTSTREAM_REDIS__URL has a parameter with a value that is none.") from error

    async def ask(self) -> str | None:
        """Ask for a PONG, and for the version if we may.

        Raises:
            UnavailableError: There was none.
        """
        try:
            await self._client.ping()
            return str((await self._client.info("server"))["redis_version"])
        except NoPermissionError:  # a least-privilege user may PING and not INFO
            return None
        except TypeError as error:  # redis-py hands every parameter of the URL on to its connections
            raise UnavailableError("Redis: INTENTSTREAM_REDIS__URL has a parameter that there is not.") from error
        except (RedisError, OSError) as error:
            raise UnavailableError(f"Redis: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class ModelServerDependency:
    """The server that answers for a tier, asked what it serves.

    Args:
        tier: Which one.
        probe: Asks; returns the model's version, if the server tells.
    """

    name = "model_server"

    def __init__(self, tier: str, probe: Callable[[], Awaitable[str | None]]) -> None:
        self._tier = tier
        self._probe = probe

    async def ask(self) -> str | None:
        """Ask for the model's metadata; the version is the model's, if the server tells.

        Raises:
            UnavailableError: It did not answer, or serves what does not fit the catalogue.
        """
        try:
            return await self._probe()
        except UnavailableError as error:
            raise UnavailableError(f"{self._tier}: {error}") from error

    async def close(self) -> None:
        """Do nothing: the connections are the tier's."""


class PostgresDependency:
    """Postgres, asked to select 1 on a connection of its own: that it takes new ones is part of the question."""

    name = "postgres"

    def __init__(self, dsn: str, *, timeout_seconds: float = 2.0) -> None:
        self._dsn = dsn
        self._timeout_seconds = timeout_seconds

    async def ask(self) -> str | None:
        """Connect and select 1.

        Raises:
            UnavailableError: It could not be done.
        """
        try:
            connection = await asyncpg.connect(self._dsn, timeout=self._timeout_seconds)
            try:
                await connection.fetchval("SELECT 1", timeout=self._timeout_seconds)
                version = connection.get_server_version()
                return f"{version.major}.{version.minor}"
            finally:
                await connection.close(timeout=self._timeout_seconds)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError, OverflowError) as error:
            raise UnavailableError(f"Postgres: {_reason(error)}") from error

    async def close(self) -> None:
        """Do nothing: each question has its own connection."""


def _reason(error: Exception) -> str:
    """Say why Postgres cannot be asked; not in its words or asyncpg's, which name roles, home folders and values."""
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"authentication failed (SQLSTATE {error.sqlstate})."
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__} (SQLSTATE {error.sqlstate})."
    if isinstance(error, ConnectionError | socket.gaierror):
        return str(error)  # which address was tried, or that its name is not known
    if isinstance(error, _UNUSABLE):
        return f"INTENTSTREAM_POSTGRES__DSN, or a file that it names, cannot be used ({type(error).__name__})."
    return f"{type(error).__name__}."
