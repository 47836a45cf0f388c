"""The partitions, one a day: made before they are needed, dropped once they are older than is kept."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from streams.sink.rows import TABLES
from streams.sink.schema import SCHEMA_LOCK

if TYPE_CHECKING:
    from collections.abc import Collection

AHEAD = dt.timedelta(days=1)
"""How far ahead partitions are made, and how far ahead a record's clock may be."""


class Kept:
    """Which days are kept.

    Args:
        retention_days: How many, today among them.
        today: In UTC.
    """

    def __init__(self, retention_days: int, today: dt.date) -> None:
        self.first = today - dt.timedelta(days=retention_days - 1)
        self.last = today + AHEAD
        self.today = today

    def __contains__(self, day: dt.date) -> bool:
        return self.first <= day <= self.last


async def make_days(connection: Any, days: Collection[dt.date]) -> None:
    """Make the partitions of these days where they are not there yet."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
        for day in sorted(days):
            for table in TABLES:
                bounds = f"FROM ('{day}') TO ('{day + dt.timedelta(days=1)}')"
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {_name(table.name, day)} PARTITION OF {table.name} FOR VALUES {bounds}"
                )


async def drop_days_before(connection: Any, first: dt.date) -> list[str]:
    """Drop the partitions of earlier days; return their names."""
    dropped = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
        for table in TABLES:
            for name in await _partitions(connection, table.name):
                if name < _name(table.name, first):
                    await connection.execute(f"DROP TABLE IF EXISTS {name}")
                    dropped.append(name)
        # Whose feedback is forgotten need not be known for longer than feedback is kept.
        await connection.execute("DELETE FROM forgotten WHERE until < $1::date", first)
    return dropped


async def _partitions(connection: Any, table: str) -> list[str]:
    rows = await connection.fetch(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
        "WHERE inhparent = to_regclass($1)",
        table,
    )
    return [row["relname"] for row in rows]


def _name(table: str, day: dt.date) -> str:
    return f"{table}_{day:%Y%m%d}"
