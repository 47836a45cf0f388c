"""Asks the tables: each question on a connection of its own, which may change nothing and has a deadline."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.errors import UnavailableError
from streams.sink.database import Database
from streams.sink.views import (
    AccuracyDay,
    AccuracyInsights,
    IntentDay,
    IntentInsights,
    KeptFeedback,
    KeptResult,
    ResultDetail,
    ResultList,
    UnknownResultError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.settings import Settings

OUT_OF_SCOPE = "null"
"""What is asked for where results without an intent are meant."""

MOST_RESULTS = 500
USUAL_RESULTS = 50
USUAL_DAYS = 7

_MOST_AT_ONCE = 8
_SHOWN_CHARACTERS = 64

_COLUMNS = ", ".join(KeptResult.__struct_fields__)

_INTENTS = """
SELECT day, intent, count(*) AS results, avg(confidence) AS mean_confidence
FROM results WHERE day > $1 GROUP BY day, intent ORDER BY day, results DESC, intent
"""

_ACCURACY = """
WITH said AS (
    SELECT DISTINCT ON (utterance_id) utterance_id, kind, intent
    FROM feedback WHERE kind IN ('correction', 'confirmation') AND day > $1
    ORDER BY utterance_id, said_at DESC, log_offset DESC
), judged AS (
    SELECT results.day, results.intent,
        said.kind = 'confirmation' OR said.intent IS NOT DISTINCT FROM results.intent AS is_right
    FROM results JOIN said USING (utterance_id) WHERE results.day > $1
)
SELECT day, intent, count(*) AS judged, count(*) FILTER (WHERE is_right) AS "right",
    avg(is_right::integer)::double precision AS accuracy
FROM judged GROUP BY day, intent ORDER BY day, judged DESC, intent
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which results.

    Attributes:
        user_id: Only theirs.
        intent: Only of this intent; `OUT_OF_SCOPE`: only those of none.
        since: Only those answered then or later.
        limit: How many, at most.
    """

    user_id: str | None = None
    intent: str | None = None
    since: dt.datetime | None = None
    limit: int = USUAL_RESULTS


class ResultMemory:
    """What is kept in Postgres.

    Args:
        settings: Where it is, and how long a question may take.
    """

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.postgres_dsn
        self._deadline_seconds = settings.sink.query_seconds
        self._under_way = 0

    async def recent(self, wanted: Wanted) -> ResultList:
        """Return results, the newest first.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        conditions, values = _conditions(wanted)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        query = (
            f"SELECT {_COLUMNS} FROM results {where} "  # noqa: S608 - of ours; what is asked for is in the values
            f"ORDER BY answered_at DESC, id DESC LIMIT ${len(values) + 1}"
        )
        rows = await self._ask(query, *values, wanted.limit)
        return ResultList(results=tuple(KeptResult(**row) for row in rows))

    async def show(self, result_id: str) -> ResultDetail:
        """Return one result, and what was said of it.

        Raises:
            UnknownResultError: It is not kept.
            UnavailableError: Postgres does not answer.
        """
        rows = await self._ask(
            "SELECT answered_at, utterance_id, event::text AS event FROM results WHERE id = $1 "
            "ORDER BY day DESC LIMIT 1",
            result_id,
        )
        if not rows:
            raise UnknownResultError(f"No result {result_id[:_SHOWN_CHARACTERS]!r} is kept.")
        said = await self._ask(
            "SELECT said_at, kind, person_id, intent FROM feedback WHERE utterance_id = $1 "
            "ORDER BY said_at, log_offset",
            rows[0]["utterance_id"],
        )
        return ResultDetail(
            answered_at=rows[0]["answered_at"],
            result=msgspec.json.decode(rows[0]["event"]),
            feedback=tuple(KeptFeedback(**row) for row in said),
        )

    async def intents(self, days: int = USUAL_DAYS) -> IntentInsights:
        """Return counts and mean confidences of the last days.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        rows = await self._ask(_INTENTS, _before(days))
        return IntentInsights(intents=tuple(IntentDay(**row) for row in rows))

    async def accuracy(self, days: int = USUAL_DAYS) -> AccuracyInsights:
        """Return what people said of the last days' answers.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        rows = await self._ask(_ACCURACY, _before(days))
        return AccuracyInsights(days=tuple(AccuracyDay(**row) for row in rows))

    async def _ask(self, query: str, *values: Any) -> Sequence[dict[str, Any]]:
        if self._under_way >= _MOST_AT_ONCE:
            raise UnavailableError("Too many such requests wait for Postgres already; try again in a moment.")
        self._under_way += 1
        try:
            async with Database(self._dsn, deadline_seconds=self._deadline_seconds, read_only=True) as database:
                rows = await database.run(lambda connection: connection.fetch(query, *values))
        finally:
            self._under_way -= 1
        return [dict(row) for row in rows]


def _conditions(wanted: Wanted) -> tuple[list[str], list[Any]]:
    """Return what must hold, and the values that stand for its parameters."""
    conditions: list[str] = []
    values: list[Any] = []
    if wanted.user_id is not None:
        values.append(wanted.user_id)
        conditions.append(f"user_id = ${len(values)}")
    if wanted.intent == OUT_OF_SCOPE:
        conditions.append("intent IS NULL")
    elif wanted.intent is not None:
        values.append(wanted.intent)
        conditions.append(f"intent = ${len(values)}")
    if wanted.since is not None:
        since = wanted.since.astimezone(dt.UTC)
        values += [since, since.date()]
        conditions += [f"answered_at >= ${len(values) - 1}", f"day >= ${len(values)}"]
    return conditions, values


def _before(days: int) -> dt.date:
    return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days)
