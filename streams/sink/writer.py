"""Writes batches: COPY into a temporary table, upsert from there, and how far was read, in one transaction.

So what is in the tables is exactly what was read up to the positions beside it, whoever is killed when; and a batch
that is applied twice, or by two workers at once, changes nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from streams.sink.database import UNHOLDABLE
from streams.sink.days import Kept, drop_days_before, make_days
from streams.sink.rows import FEEDBACK_TABLE, RESULTS_TABLE, TABLES, Batch, Row, Table, latest
from streams.sink.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from streams.sink.database import Database
    from streams.sink.rows import Positions

_log = structlog.get_logger(__name__)

_USER = RESULTS_TABLE.columns.index("user_id")


class WriterObserver(Protocol):
    """Who counts. Called on the sink's thread; must not block."""

    def sink_wrote(self, table: str, rows: int) -> None:
        """Count rows that were written."""

    def sink_refused(self, table: str, code: str, rows: int) -> None:
        """Count records of which there will be no row."""


class BatchWriter:
    """Writes through one connection.

    Args:
        database: The connection.
        cluster: Which Kafka it is whose positions are kept: another's offsets mean something else.
        retention_days: How many days are kept.
        observer: Who counts.
        today: Returns the day in UTC.
    """

    def __init__(
        self,
        database: Database,
        *,
        cluster: str,
        retention_days: int,
        observer: WriterObserver,
        today: Callable[[], dt.date] = lambda: dt.datetime.now(dt.UTC).date(),
    ) -> None:
        self._database = database
        self._cluster = cluster
        self._retention_days = retention_days
        self._observer = observer
        self._today = today
        self._made: set[dt.date] = set()
        self._cleared: dt.date | None = None

    async def open(self) -> Positions:
        """Bring the tables in shape; return how far was read.

        Raises:
            DatabaseAwayError: It cannot be done now.
        """
        await self._database.run(migrate)
        await self._database.run(_make_landing)
        return await self._database.run(self._positions)

    async def write(self, batch: Batch) -> None:
        """Write a batch.

        Raises:
            DatabaseAwayError: It was not written.
        """
        kept = Kept(self._retention_days, self._today())
        await self._turn_day(kept)
        if not batch.positions:
            return
        rows = [row for row in latest(batch.rows) if row.day in kept]
        for table in TABLES:
            outside = sum(row.table is table and row.day not in kept for row in batch.rows)
            if outside:
                self._observer.sink_refused(table.name, "not_kept", outside)
        missing = {row.day for row in rows} - self._made
        if missing:
            await self._database.run(lambda connection: make_days(connection, missing))
            self._made |= missing
        await self._apply(batch._replace(rows=rows))

    async def forget(self, places: Sequence[tuple[str, int]]) -> None:
        """Forget how far was read there: the log is not the one that it was."""
        keys = [(self._cluster, *place) for place in places]
        statement = "DELETE FROM positions WHERE cluster = $1 AND topic = $2 AND partition = $3"
        await self._database.run(lambda connection: connection.executemany(statement, keys))

    async def _turn_day(self, kept: Kept) -> None:
        """Once a day, make today's and tomorrow's partitions, and drop those that are no longer kept."""
        if self._cleared == kept.today:
            return
        days = {kept.today, kept.last}
        await self._database.run(lambda connection: make_days(connection, days))
        self._made |= days
        dropped = await self._database.run(lambda connection: drop_days_before(connection, kept.first))
        self._made = {day for day in self._made if day in kept}
        self._cleared = kept.today
        if dropped:
            _log.info("sink_days_dropped", partitions=len(dropped), before=str(kept.first))

    async def _apply(self, batch: Batch) -> None:
        """Write a batch; where Postgres cannot hold one of its rows, all but that one."""
        rows = batch.rows
        try:
            await self._database.run(lambda connection: self._transact(connection, batch))
        except UNHOLDABLE as fault:
            if len(rows) > 1:
                half = len(rows) // 2
                await self._apply(Batch(rows[:half], {}, {}))
                await self._apply(batch._replace(rows=rows[half:]))
                return
            code = type(fault).__name__
            for row in rows:
                self._observer.sink_refused(row.table.name, code, 1)
                _log.warning("sink_row_refused", table=row.table.name, fault=code)
            await self._database.run(lambda connection: self._transact(connection, batch._replace(rows=[])))
        else:
            for table in TABLES:
                self._observer.sink_wrote(table.name, sum(row.table is table for row in rows))

    async def _transact(self, connection: Any, batch: Batch) -> None:
        async with connection.transaction():
            for table in TABLES:
                await _upsert(connection, table, batch.rows)
            await _take_back(connection, batch)
            await connection.executemany(
                "INSERT INTO positions AS known (cluster, topic, partition, next_offset) VALUES ($1, $2, $3, $4) "
                "ON CONFLICT (cluster, topic, partition) DO UPDATE "
                "SET next_offset = greatest(known.next_offset, excluded.next_offset)",
                [(self._cluster, *place, offset) for place, offset in batch.positions.items()],
            )

    async def _positions(self, connection: Any) -> Positions:
        rows = await connection.fetch(
            "SELECT topic, partition, next_offset FROM positions WHERE cluster = $1", self._cluster
        )
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def _make_landing(connection: Any) -> None:
    """Make the temporary tables that rows are copied into; they are this connection's, and end with it."""
    for table in TABLES:
        await connection.execute(f"CREATE TEMPORARY TABLE {_landing(table)} (LIKE {table.name}) ON COMMIT DELETE ROWS")


def _landing(table: Table) -> str:
    return f"incoming_{table.name}"


async def _upsert(connection: Any, table: Table, rows: Sequence[Row]) -> None:
    """Bring those rows that are a table's into it."""
    values = [row.values for row in rows if row.table is table]
    if values:
        await connection.copy_records_to_table(_landing(table), records=values, columns=table.columns)
        await connection.execute(_upserting(table))
        await connection.execute(f"TRUNCATE {_landing(table)}")


async def _take_back(connection: Any, batch: Batch) -> None:
    """Delete what those said who want it forgotten, also where it is read after they said so."""
    await connection.executemany(
        "INSERT INTO forgotten AS known (person_id, until) VALUES ($1, $2) ON CONFLICT (person_id) DO UPDATE "
        "SET until = greatest(known.until, excluded.until)",
        list(batch.forgotten.items()),
    )
    await connection.executemany(
        "UPDATE forgotten SET results_until = greatest(results_until, $2) WHERE person_id = $1",
        list(batch.forgotten_results.items()),
    )
    users = {row.values[_USER] for row in batch.rows if row.table is RESULTS_TABLE} | batch.forgotten_results.keys()
    await _forget_results(connection, users - {None})
    people = {row.person_id for row in batch.rows if row.table is FEEDBACK_TABLE} | batch.forgotten.keys()
    if people - {None}:
        await connection.execute(
            "DELETE FROM feedback USING forgotten WHERE feedback.person_id = forgotten.person_id "
            "AND feedback.said_at <= forgotten.until AND forgotten.person_id = ANY($1)",
            list(people - {None}),
        )


async def _forget_results(connection: Any, users: Collection[str]) -> None:
    """Delete what those people were answered who are forgotten, and the texts of what others said of it."""
    found = await connection.fetch(
        "SELECT person_id, results_until FROM forgotten WHERE results_until IS NOT NULL AND person_id = ANY($1)",
        list(users),
    )
    # One by one: whoever plans the query cannot know how few they are.
    for person_id, until in found:
        theirs = "results.user_id = $1 AND results.answered_at <= $2"
        await connection.execute(
            "UPDATE feedback SET text = NULL, lesson = NULL FROM results "  # noqa: S608 - ours
            f"WHERE feedback.utterance_id = results.utterance_id AND {theirs}",
            person_id,
            until,
        )
        await connection.execute(f"DELETE FROM results WHERE {theirs}", person_id, until)  # noqa: S608 - ours


def _upserting(table: Table) -> str:
    """Return the statement that brings what landed into its table: a later record stands above an earlier one."""
    columns = ", ".join(table.columns)
    time = table.columns[2]
    changed = ", ".join(f"{column} = excluded.{column}" for column in table.columns if column not in ("id", "day"))
    return (
        f"INSERT INTO {table.name} AS known ({columns}) SELECT {columns} FROM {_landing(table)} "  # noqa: S608 - ours
        f"ON CONFLICT (id, day) DO UPDATE SET {changed} "
        f"WHERE (known.{time}, known.log_offset) < (excluded.{time}, excluded.log_offset)"
    )
