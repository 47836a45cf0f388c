"""The HTTP routes of rollouts: what the command line can do, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from flags.acts import existing, latest
from flags.api.acting import read_asked
from flags.api.preconditions import etag
from flags.api.reading import answer_json
from flags.api.requests import Query
from flags.rollouts.acts import rollout_of, start
from flags.rollouts.requests import ACTS, PLANNED, read_plan
from flags.rollouts.status import status_of
from flags.rollouts.views import RolloutList, view_of
from schemas.errors import UnknownFlagError
from schemas.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.acts import Log
    from flags.api.acting import Asked
    from flags.api.blocking import BlockingCalls
    from flags.edits import Edit
    from flags.evaluation import Snapshot
    from flags.rollouts.status import RolloutStatus
    from schemas.access import Access
    from schemas.events import FlagChange

ROOT = "/api/v1/rollouts"


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
        asked = await read_asked(request, self._access, PLANNED)
        plan, faults = read_plan(asked.fields)
        asked = asked._replace(faults=(*asked.faults, *faults))
        return await self._perform(asked, lambda flag: start(flag, plan, asked.author), status=201)

    async def _act(self, request: web.Request) -> web.Response:
        asked = await read_asked(request, self._access, ())
        act = ACTS[request.path.rpartition("/")[2]]
        return await self._perform(asked, lambda flag: act(flag, asked.author))

    async def _perform(self, asked: Asked, act: Callable[[FlagChange], Edit], *, status: int = 200) -> web.Response:
        written = await self._writes.run(lambda: self._written(asked, act))
        return answer_json(
            view_of(status_of(written, rollout_of(written))), status=status, headers={hdrs.ETAG: etag(written.revision)}
        )

    def _written(self, asked: Asked, act: Callable[[FlagChange], Edit]) -> FlagChange:
        """Act; on another thread."""
        flag = existing(asked.name, latest(self._log, asked.name))
        return self._log.write(asked.edit(flag, lambda: act(flag)))
