"""The HTTP routes that ask what was answered: results, and what can be learnt from many of them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from aiohttp import web

from flags.api.reading import answer_json
from flags.api.requests import Query
from schemas.errors import InvalidRequestError
from schemas.tokens import Scope
from streams.sink.memory import MOST_RESULTS, USUAL_DAYS, USUAL_RESULTS, Wanted

if TYPE_CHECKING:
    from schemas.access import Access
    from streams.sink.memory import ResultMemory

RESULTS_PATH = "/api/v1/results"
INTENTS_PATH = "/api/v1/insights/intents"
ACCURACY_PATH = "/api/v1/insights/accuracy"

MOST_DAYS = 3_650


class ResultRoutes:
    """`GET` of results and of insights.

    Args:
        access: Who may.
        memory: Answers.
    """

    def __init__(self, *, access: Access, memory: ResultMemory) -> None:
        self._access = access
        self._memory = memory

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [
            web.get(RESULTS_PATH, self._list),
            web.get(RESULTS_PATH + "/{result:.+}", self._show),
            web.get(INTENTS_PATH, self._intents),
            web.get(ACCURACY_PATH, self._accuracy),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.RESULTS_READ)
        query = Query(request.query)
        wanted = Wanted(
            user_id=_name(query, "user_id"),
            intent=_name(query, "intent"),
            since=_since(query),
            limit=query.integer("limit", least=1, most=MOST_RESULTS) or USUAL_RESULTS,
        )
        query.rest()
        return answer_json(await self._memory.recent(wanted))

    async def _show(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.RESULTS_READ)
        Query(request.query).rest()
        result_id = request.match_info["result"]
        if "\x00" in result_id:
            raise InvalidRequestError("No id has a NUL.")
        return answer_json(await self._memory.show(result_id))

    async def _intents(self, request: web.Request) -> web.Response:
        return answer_json(await self._memory.intents(self._days(request)))

    async def _accuracy(self, request: web.Request) -> web.Response:
        return answer_json(await self._memory.accuracy(self._days(request)))

    def _days(self, request: web.Request) -> int:
        """Let a request in, and return for how many days it asks."""
        self._access.admit(request, Scope.RESULTS_READ)
        query = Query(request.query)
        days = query.integer("days", least=1, most=MOST_DAYS) or USUAL_DAYS
        query.rest()
        return days


def _name(query: Query, name: str) -> str | None:
    text = query.text(name)
    if text is not None and "\x00" in text:
        query.faults.append(f"{name} has a NUL.")
        return None
    return text


def _since(query: Query) -> dt.datetime | None:
    text = query.text("since")
    if text is None:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
        time = time if time.tzinfo is None else time.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        time = None
    if time is None or time.tzinfo is None:
        query.faults.append("since is a time with its zone, such as 2026-01-02T03:04:05Z.")
        return None
    return time
