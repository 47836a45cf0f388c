"""How each dependency is asked: with the cheapest request that it can only answer if it works."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import asyncpg
from confluent_kafka import KafkaException
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from flags.admin import why_failed
from models.store import reach_store
from models.threads import DaemonThread
from schemas.errors import IntentStreamError, InvalidSettingsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from confluent_kafka.admin import AdminClient


_KAFKA_PORT = 9092
"""Librdkafka's, where an address names none."""

_TIMEOUT_SECONDS = 1.5
"""Within the two seconds that `health.checks` waits at most: who gives up by itself says why."""

_HUNG_UP = ("reset by peer", "Connection closed by server")
"""How redis-py says that the other side did."""

_UNUSABLE = (ValueError, OverflowError, FileNotFoundError, PermissionError)
"""What asyncpg raises over a DSN; its own ClientConfigurationError is a ValueError, too."""


class KafkaDependency:
    """The broker, asked for its metadata.

    Not with `describe_cluster`: where a broker has just been fenced, and so names no brokers at all, librdkafka takes
    the answer for a parsing error without a code, and an assertion ends the process.

    After a question without an answer, the next is not put before somebody listens at one of the addresses: while an
    admin client has a question and no broker, librdkafka connects without a pause, a thousand times a second.

    Args:
        admin: Asks.
        servers: The addresses that `admin` knows, `host:port,…`.
        timeout_seconds: For an answer.
    """

    name = "kafka"

    def __init__(self, admin: AdminClient, servers: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._admin = admin
        self._addresses = [_address(server) for server in servers.split(",")]
        self._timeout_seconds = timeout_seconds
        self._silent = False

    async def ask(self) -> str | None:
        """Ask for the cluster's metadata; Kafka tells no version.

        Raises:
            UnavailableError: No broker answered.
        """
        if self._silent and not await self._is_somebody_there():
            raise UnavailableError("Kafka: nobody listens at its addresses.")
        self._silent = True
        try:
            metadata = await asyncio.to_thread(self._admin.list_topics, timeout=self._timeout_seconds)
        except KafkaException as error:
            raise UnavailableError(f"Kafka: {why_failed(self._admin, error)}") from error
        if not metadata.brokers:
            raise UnavailableError("Kafka: no broker is ready.")
        self._silent = False
        return None

    async def _is_somebody_there(self) -> bool:
        """Knock at every address at once."""
        knocks = (_is_listened_at(*address, self._timeout_seconds / 2) for address in self._addresses)
        return any(await asyncio.gather(*knocks))

    async def close(self) -> None:
        """Do nothing: the client is its owner's."""


def _address(server: str) -> tuple[str, int]:
    """Return host and port of an address as librdkafka takes it, with or without protocol, brackets and port."""
    host, _, port = server.strip().rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        host, port = f"{host}:{port}" if host else port, str(_KAFKA_PORT)
    return host.strip("[]"), int(port)


async def _is_listened_at(host: str, port: int, seconds: float) -> bool:
    """Return whether a connection is accepted there."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


class RedisDependency:
    """Redis, asked for a PONG."""

    name = "redis"

    def __init__(self, url: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        """Make a client; it connects when it is asked.

        Raises:
            InvalidSettingsError: The URL has a value that the client cannot use.
        """
        try:
            self._over_tls = url.startswith("rediss")
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
            raise UnavailableError(f"Redis: {error}{self._perhaps(error)}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _perhaps(self, error: Exception) -> str:
        """Say what may be meant where a server hangs up over TLS: its word on our certificate is often lost with it."""
        hung_up = any(words in str(error) for words in _HUNG_UP)
        return "; it may want a certificate of ours, or another one." if self._over_tls and hung_up else ""


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


class ReleaseStoreDependency:
    """The store of releases, asked whether its folder can be looked at.

    On a thread of its own, for file systems may hang for ever; then it is not asked again before it has answered.

    Args:
        store: Its URL, as fsspec has them.
    """

    name = "release_store"

    def __init__(self, store: str) -> None:
        self._store = store
        self._thread = DaemonThread("ask-store")
        self._asked: Future[None] | None = None

    async def ask(self) -> str | None:
        """Look at it; stores tell no version.

        Raises:
            UnavailableError: It cannot be looked at.
        """
        if self._asked is not None and not self._asked.done():
            raise UnavailableError("Release store: it has not answered an earlier question.")
        self._asked = self._thread.submit(reach_store, self._store)
        try:
            await asyncio.wrap_future(self._asked)
        except IntentStreamError as error:
            raise UnavailableError(f"Release store: {error}") from error
        return None

    async def close(self) -> None:
        """End the thread, once it has its answer."""
        self._thread.shutdown()


class PostgresDependency:
    """Postgres, asked to select 1 on a connection of its own: that it takes new ones is part of the question."""

    name = "postgres"

    def __init__(self, dsn: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
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
            raise UnavailableError(f"Postgres: {describe_postgres_fault(error)}") from error

    async def close(self) -> None:
        """Do nothing: each question has its own connection."""


def describe_postgres_fault(error: Exception) -> str:
    """Say why Postgres cannot be asked; not in its words or asyncpg's, which name roles, home folders and values."""
    if isinstance(error, asyncpg.PostgresError):
        return _said_by_postgres(error)
    if isinstance(error, ssl.SSLError):
        return _said_of_tls(error)
    if isinstance(error, ConnectionError | socket.gaierror):
        return str(error)  # which address was tried, or that its name is not known
    if isinstance(error, _UNUSABLE):
        return f"INTENTSTREAM_POSTGRES__DSN, or a file that it names, cannot be used ({type(error).__name__})."
    return f"{type(error).__name__}."


def _said_by_postgres(error: asyncpg.PostgresError) -> str:
    if isinstance(error, asyncpg.ConnectionDoesNotExistError):  # all that is left of TLS' own word on a certificate
        return (
            f"it closed the connection before it answered (SQLSTATE {error.sqlstate}); where a certificate of ours is "
            "set, it may not trust that."
        )
    if not isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"{type(error).__name__} (SQLSTATE {error.sqlstate})."
    if "client certificate" in str(error):  # said so in English alone; elsewhere the code must do
        return f"it wants a certificate of ours (SQLSTATE {error.sqlstate})."
    return f"authentication failed (SQLSTATE {error.sqlstate})."


def _said_of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}."
    return f"TLS failed: {(error.reason or type(error).__name__).replace('_', ' ').lower()}."
