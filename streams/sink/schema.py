"""Brings the tables to the shape that this version knows: numbered SQL files, each applied once, by one at a time.

Files are never changed once they are released: what is to be different is the next number.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from streams.sink.database import SCHEMA, DatabaseAwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = structlog.get_logger(__name__)

SCHEMA_LOCK = 7_205_759_403
"""Of Postgres's advisory locks, ours: whoever changes tables holds it, for the length of a transaction."""


class Migration(NamedTuple):
    """One file.

    Attributes:
        number: Its place in the order, from 1.
        name: Of the file.
        sql: What it does.
    """

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """Return what tells its text from any other."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class ForeignSchemaError(DatabaseAwayError):
    """The tables are not those that our files make; a person must look, or name another database."""

    code = "foreign_schema"
    exit_code = 78


def migrations() -> list[Migration]:
    """Return those there are, in their order."""
    found = (entry for entry in files("streams.sink").joinpath("migrations").iterdir() if entry.name.endswith(".sql"))
    return sorted(Migration(int(entry.name.partition("_")[0]), entry.name, entry.read_text("utf-8")) for entry in found)


async def migrate(connection: Any, wanted: Sequence[Migration] | None = None) -> list[str]:
    """Apply what was not applied yet, all of it or nothing.

    Args:
        connection: To the database.
        wanted: What is to be applied in the end; None: the files there are.

    Returns:
        The names of what was applied now.

    Raises:
        ForeignSchemaError: A file was applied with another text. A newer version's files are no fault: what they
            add, we pass over.
    """
    wanted = migrations() if wanted is None else wanted
    if await _is_current(connection, wanted):
        return []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY, name text NOT NULL, "
            "digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        missing = _missing(wanted, await _applied(connection))
        for migration in missing:
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO migrations (number, name, digest) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.digest,
            )
    for migration in missing:
        _log.info("schema_migrated", migration=migration.name)
    return [migration.name for migration in missing]


async def _is_current(connection: Any, wanted: Sequence[Migration]) -> bool:
    """Return whether there is nothing to do, which also who may not write can find out."""
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.migrations"):
        return False
    return not _missing(wanted, await _applied(connection))


async def _applied(connection: Any) -> dict[int, str]:
    return {row["number"]: row["digest"] for row in await connection.fetch("SELECT number, digest FROM migrations")}


def _missing(wanted: Sequence[Migration], applied: dict[int, str]) -> list[Migration]:
    changed = [each.name for each in wanted if applied.get(each.number, each.digest) != each.digest]
    if changed:
        raise ForeignSchemaError(
            f"The schema {SCHEMA} in Postgres was made by another text of {', '.join(changed)}; name another database "
            "in INTENTSTREAM_POSTGRES__DSN, or drop the schema: it is filled again from the log."
        )
    return [each for each in wanted if each.number not in applied]
