"""The HTTP routes of rollouts: what the command line can do, for programs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from flags.api.preconditions import etag, expected_revision
from flags.api.reading import answer_json
from flags.api.requests import Query, json_object
from flags.errors import InvalidFlagError, PreconditionFailedError
from flags.rollouts.acts import Author, start
from flags.rollouts.comparison import rollout_of
from flags.rollouts.controller import rfc3339
from flags.rollouts.requests import ACTS, PLANNED, perform, read_plan
from flags.rollouts.status import status_of
from flags.rollouts.views import RolloutList, view_of
from schemas.errors import UnknownFlagError
from schemas.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flags.api.blocking import BlockingCalls
    from flags.edits import Edit
    from flags.evaluation import Snapshot
    from flags.rollouts.requests import Log
    from flags.rollouts.status import RolloutStatus
    from schemas.access import Access, Caller
    from schemas.events import FlagChange

ROOT = "/api/v1/rollouts"

_SAYS_WHO_AND_WHY = frozenset({"reason", "changed_by"})
_NOBODY = "nobody"


class RolloutRoutes:
    """`/api/v1/rollouts` and what is below it.

    Args:
        access: Who may read and write.
        log: Reads and writes flags; blocking.
        snapshot: Returns the flags that this worker decides by.
        judge: Returns where a flag's rollout stands and what is to be done, by the evidence on the log; blocking.
        reads: Makes blocking calls that read.
        writes: Makes blocking calls that write.
    """

    def __init__(
        self,
        *,
        access: Access,
        log: Log,
        snapshot: Callable[[], Snapshot],
        judge: Callable[[FlagChange], RolloutStatus],
        reads: BlockingCalls,
        writes: BlockingCalls,
    ) -> None:
        self._access = access
        self._log = log
        self._snapshot = snapshot
        self._judge = judge
        self._reads = reads
        self._writes = writes

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [
            web.get(ROOT, self._list),
            web.get(f"{ROOT}/{{flag}}", self._show),
            web.post(f"{ROOT}/{{flag}}", self._start),
            *(web.post(f"{ROOT}/{{flag}}/{word}", self._act) for word in ACTS),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        Query(request.query).rest()
        changes = self._snapshot().changes
        statuses = [
            status_of(flag, flag.rollout)
            for flag in (changes[name] for name in sorted(changes))
            if flag.rollout is not None
        ]
        return answer_json(RolloutList(rollouts=tuple(view_of(status) for status in statuses)))

    async def _show(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        Query(request.query).rest()
        name = request.match_info["flag"]
        flag = self._snapshot().changes.get(name)
        if flag is None or flag.rollout is None:
            raise UnknownFlagError(f"The flag {name[:64]!r} has no rollout; {ROOT} lists those there are.")
        status = await self._reads.run(lambda: self._judge(flag))
        return answer_json(view_of(status), headers={hdrs.ETAG: etag(flag.revision)})

    async def _start(self, request: web.Request) -> web.Response:
        caller = self._access.admit(request, Scope.FLAGS_WRITE)
        Query(request.query).rest()
        said = await json_object(request)
        author, faults = _author(caller, said)
        plan, wrong = read_plan({field: value for field, value in said.items() if field in PLANNED})
        faults += wrong + _unknown(said, {*PLANNED, *_SAYS_WHO_AND_WHY})
        return await self._perform(request, lambda flag: start(flag, plan, author), faults, status=201)

    async def _act(self, request: web.Request) -> web.Response:
        caller = self._access.admit(request, Scope.FLAGS_WRITE)
        Query(request.query).rest()
        said = await json_object(request)
        author, faults = _author(caller, said)
        faults += _unknown(said, _SAYS_WHO_AND_WHY)
        act = ACTS[request.path.rpartition("/")[2]]
        return await self._perform(request, lambda flag: act(flag, author), faults)

    async def _perform(
        self, request: web.Request, edit_of: Callable[[FlagChange], Edit], faults: list[str], *, status: int = 200
    ) -> web.Response:
        name = request.match_info["flag"]
        expected = expected_revision(name, request.headers, exists_always=False)

        def checked(flag: FlagChange) -> Edit:
            if expected is not None and expected != flag.revision:
                raise PreconditionFailedError(
                    f"The flag {name} is at revision {flag.revision}.", revision=flag.revision
                )
            if faults:
                raise InvalidFlagError(name, faults)
            return edit_of(flag)

        written = await self._writes.run(lambda: perform(self._log, name, checked))
        return answer_json(
            view_of(status_of(written, rollout_of(written))), status=status, headers={hdrs.ETAG: etag(written.revision)}
        )


def _author(caller: Caller, said: Mapping[str, Any]) -> tuple[Author, list[str]]:
    """Return who acts and why, and what is wrong with how they say it."""
    faults = []
    reason, changed_by = said.get("reason"), caller.name or said.get("changed_by")
    if not isinstance(reason, str) or not reason.strip():
        faults.append("reason: say why; it stands in the history for ever")
        reason = ""
    if not isinstance(changed_by, str) or not changed_by.strip():
        faults.append("changed_by: say who does it, for no token does")
        changed_by = _NOBODY
    if caller.name is not None and said.get("changed_by", caller.name) != caller.name:
        faults.append(f"changed_by: it is {caller.name}, whose token this is")
    return Author(changed_by=changed_by, reason=reason, now=rfc3339(dt.datetime.now(dt.UTC))), faults


def _unknown(said: Mapping[str, Any], known: frozenset[str] | set[str]) -> list[str]:
    return [f"{field[:64]}: it cannot be set here" for field in said if field not in known]
