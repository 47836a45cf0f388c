"""The HTTP routes that read flags: what they are, what they are for somebody, and what they were.

Answered from this worker's snapshot, as its own decisions are; the past from the audit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
from aiohttp import hdrs, web

from flags.api.preconditions import etag
from flags.api.requests import JSON, Query
from flags.api.views import CheckedFlag, FlagList, FlagView, HistoryPage, finite
from flags.compiling import ErrorCode
from flags.definitions import DEFINITIONS
from flags.edits import flag_state
from flags.evaluation import Context, Snapshot
from flags.history import as_of
from schemas.errors import InvalidRequestError, UnknownFlagError
from schemas.tokens import Scope

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from flags.api.blocking import BlockingCalls
    from flags.follower import Follower
    from schemas.access import Access
    from schemas.events import FlagChange

ROOT = "/api/v1/feature-flags"

MOST_CHANGES = 500
"""Of one page of a history."""

_CHANGES = 50
_SHOWN_CHARACTERS = 64

_OURS = tuple(flag.name for flag in DEFINITIONS)


class ChangesOf(Protocol):
    """What finds a flag's changes, as `flags.audit_index.AuditIndex.changes_of` does."""

    def __call__(self, name: str, *, before: int | None, most: int) -> list[FlagChange] | None:
        """Return them, the newest first; None if there never was such a flag."""


class FlagReading:
    """`GET /api/v1/feature-flags` and what is below it.

    Args:
        access: Who may read.
        follower: Holds the flags that this worker decides by.
        overrides: What this worker's environment says.
        read_audit: Reads every change there was, the oldest first; blocking.
        changes_of: Returns a flag's changes, as `flags.audit_index.AuditIndex` does; blocking.
        hold: Returns when it is certain that what this worker knows still counts.
        calls: Makes blocking calls.
    """

    def __init__(
        self,
        *,
        access: Access,
        follower: Follower,
        overrides: Mapping[str, bool],
        read_audit: Callable[[], Iterator[FlagChange]],
        changes_of: ChangesOf,
        hold: Callable[[], Awaitable[None]],
        calls: BlockingCalls,
    ) -> None:
        self._access = access
        self._follower = follower
        self._overrides = overrides
        self._read_audit = read_audit
        self._changes_of = changes_of
        self._hold = hold
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [
            web.get(ROOT, self._list),
            web.get(f"{ROOT}/check/{{flag}}", self._check),
            web.get(f"{ROOT}/{{flag}}", self._show),
            web.get(f"{ROOT}/{{flag}}/history", self._history),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        Query(request.query).rest()
        await self._hold()
        snapshot, age = self._follower.snapshot, self._follower.age_seconds
        states = (flag_state(name, snapshot.changes) for name in _names(snapshot.changes))
        answer = FlagList(
            revision=snapshot.revision,
            current=self._follower.caught_up,
            age_seconds=finite(age),
            warnings=snapshot.warnings,
            flags=tuple(self._view(state) for state in states if state is not None),
        )
        return answer_json(answer)

    async def _show(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        Query(request.query).rest()
        await self._hold()
        name = request.match_info["flag"]
        state = flag_state(name, self._follower.snapshot.changes)
        if state is None:
            raise no_such_flag(name)
        return answer_json(self._view(state), headers={hdrs.ETAG: etag(state.revision)})

    async def _check(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        query = Query(request.query, open_ended=True)
        user_id, moment = query.text("user_id") or None, query.moment("at")
        context = Context(user_id=user_id, attributes=query.rest())
        snapshot = await (self._present() if moment is None else self._calls.run(lambda: self._past(moment)))
        name = request.match_info["flag"]
        answer = snapshot.evaluate(name, context)
        if answer.error_code is ErrorCode.FLAG_NOT_FOUND:
            raise no_such_flag(name)
        return answer_json(CheckedFlag(name=name, revision=snapshot.revision, **msgspec.structs.asdict(answer)))

    async def _history(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        query, name = Query(request.query), request.match_info["flag"]
        before = query.integer("before", least=1, most=10**15)
        limit = query.integer("limit", least=1, most=MOST_CHANGES) or _CHANGES
        query.rest()
        found = await self._calls.run(lambda: self._changes_of(name, before=before, most=limit + 1))
        if found is None:
            if name not in _OURS:
                raise no_such_flag(name)
            found = []
        page = found[:limit]
        more = page[-1].revision if len(found) > limit else None
        return answer_json(HistoryPage(changes=tuple(page), next_before=more))

    async def _present(self) -> Snapshot:
        await self._hold()
        return self._follower.snapshot

    def _view(self, state: FlagChange) -> FlagView:
        return FlagView(**msgspec.structs.asdict(state), overridden=self._overrides.get(state.name))

    # On another thread.

    def _past(self, moment: int | dt.datetime) -> Snapshot:
        """Return the flags as they were, whatever an environment said."""
        past = as_of(self._read_audit(), moment)
        if isinstance(moment, int) and past.revision != moment:
            raise InvalidRequestError(
                f"at is revision {moment}, and there is none; the last before it is {past.revision}."
            )
        return Snapshot(None, past.revision, changes=past.changes)


def answer_json(answer: msgspec.Struct, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(answer), content_type=JSON, headers=headers)


def no_such_flag(name: str) -> UnknownFlagError:
    """Return the error; the name is anybody's, and so is not repeated without end."""
    return UnknownFlagError(f"There is no flag {name[:_SHOWN_CHARACTERS]!r}; {ROOT} lists those there are.")


def _names(changes: Mapping[str, FlagChange]) -> list[str]:
    return [*_OURS, *sorted(name for name in changes if name not in _OURS)]
