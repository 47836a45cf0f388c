"""Connections to Postgres that hang nobody: what takes longer than it may is left where it is, at a deadline."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import asyncpg

from health.dependencies import describe_postgres_fault
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

SCHEMA = "intentstream"
"""Where our tables stand, so that a database may be shared."""

UNHOLDABLE = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""What Postgres says to a row that it cannot hold: trying again mends none of it."""

_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What asyncpg raises where it cannot connect, or loses the connection, or is refused."""

_UNUSABLE = (ValueError, OverflowError)
"""What it raises besides over a DSN."""

_CLOSE_SECONDS = 1.0
_LOOK_SECONDS = 0.25


class DatabaseAwayError(UnavailableError):
    """Postgres cannot be reached, does not answer in time, or refuses what it is asked; trying again later is right."""


def _never() -> bool:
    return False


class Database:
    """One connection, and a deadline on whatever is done with it. Use as an asynchronous context manager.

    Args:
        dsn: Where Postgres is.
        deadline_seconds: How long connecting, or one piece of work, may take.
        read_only: Whether the connection may change anything.
        given_up: Returns whether nobody waits for the work any more; looked at now and then.
    """

    def __init__(
        self,
        dsn: str,
        *,
        deadline_seconds: float,
        read_only: bool = False,
        given_up: Callable[[], bool] = _never,
    ) -> None:
        self._dsn = dsn
        self._deadline_seconds = deadline_seconds
        self._settings = {
            "search_path": SCHEMA,
            "application_name": "intentstream",
            # So that Postgres, too, gives up what nobody waits for any more.
            "statement_timeout": str(int(deadline_seconds * 1000)),
            "lock_timeout": str(int(deadline_seconds * 1000)),
        } | ({"default_transaction_read_only": "on"} if read_only else {})
        self._given_up = given_up
        self._connection: Any = None

    async def __aenter__(self) -> Self:
        connecting = asyncpg.connect(self._dsn, timeout=self._deadline_seconds, server_settings=self._settings)
        try:
            self._connection = await self._ended(connecting)
        except _UNUSABLE as error:
            raise DatabaseAwayError(f"Postgres: {describe_postgres_fault(error)}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        connection, self._connection = self._connection, None
        try:
            await connection.close(timeout=_CLOSE_SECONDS)
        except (*_FAULTS, TimeoutError):
            connection.terminate()  # it is gone, or hangs; Postgres takes back what was not committed

    async def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Return what some work on the connection returns.

        Raises:
            DatabaseAwayError: It could not be done; what was not committed is taken back.
            asyncpg.DataError: Postgres cannot hold what it was given; likewise its ProgramLimitExceededError.
        """
        return await self._ended(work(self._connection))

    async def _ended(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for some work; where it does not end in time, cut the connection off, which ends it.

        Cancelling alone would not: a transaction that is cancelled first asks the server to roll back, and waits.
        """
        task = asyncio.ensure_future(work)
        deadline = time.monotonic() + self._deadline_seconds
        try:
            while not task.done() and time.monotonic() < deadline and not self._given_up():
                await asyncio.wait({task}, timeout=min(_LOOK_SECONDS, self._deadline_seconds))
        finally:
            if not task.done():
                if self._connection is not None:
                    self._connection.terminate()
                task.cancel()
                await asyncio.wait({task}, timeout=_CLOSE_SECONDS)
        return self._outcome(task)

    def _outcome(self, task: asyncio.Future[T]) -> T:
        late = f"Postgres: it did not answer within {self._deadline_seconds:g} s."
        if not task.done() or task.cancelled():
            raise DatabaseAwayError(late)
        try:
            return task.result()
        except UNHOLDABLE:
            raise
        except TimeoutError as error:
            raise DatabaseAwayError(late) from error
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
            raise DatabaseAwayError(
                "Postgres: the tables are not there; a worker makes them that can write."
            ) from error
        except _FAULTS as error:
            raise DatabaseAwayError(f"Postgres: {describe_postgres_fault(error)}") from error
