"""The HTTP routes of experiments: what the command line can do, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from flags.acts import existing, latest
from flags.api.acting import read_asked
from flags.api.preconditions import etag
from flags.api.reading import answer_json
from flags.api.requests import Query
from flags.errors import InvalidFlagError
from flags.experiments.acts import conclude, experiment_of, running, start
from flags.experiments.outlook import LEAST_EFFECT, MOST_EFFECT, USUAL_EFFECT
from flags.experiments.requests import CONCLUDED, DESIGNED, read_conclusion, read_design
from flags.experiments.status import conclusive, status_of
from flags.experiments.views import ExperimentList, view_of
from schemas.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.acts import Log
    from flags.api.acting import Asked
    from flags.api.blocking import BlockingCalls
    from flags.edits import Edit
    from flags.evaluation import Snapshot
    from flags.experiments.requests import Conclusion
    from flags.experiments.status import ExperimentStatus
    from schemas.access import Access
    from schemas.events import FlagChange

ROOT = "/api/v1/experiments"


class ExperimentRoutes:
    """`/api/v1/experiments` and what is below it.

    Args:
        access: Who may read and write.
        log: Reads and writes flags; blocking.
        snapshot: Returns the flags that this worker decides by.
        look: Returns how a flag's experiment stands and what its results say, and, given an effect, how long it takes
            to find that; blocking.
        reads: Makes blocking calls that read.
        writes: Makes blocking calls that write.
    """

    def __init__(
        self,
        *,
        access: Access,
        log: Log,
        snapshot: Callable[[], Snapshot],
        look: Callable[[FlagChange, float], ExperimentStatus],
        reads: BlockingCalls,
        writes: BlockingCalls,
    ) -> None:
        self._access = access
        self._log = log
        self._snapshot = snapshot
        self._look = look
        self._reads = reads
        self._writes = writes

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [
            web.get(ROOT, self._list),
            web.get(f"{ROOT}/{{flag}}", self._show),
            web.post(f"{ROOT}/{{flag}}", self._start),
            web.post(f"{ROOT}/{{flag}}/conclude", self._conclude),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        Query(request.query).rest()
        changes = self._snapshot().changes
        flags = (changes[name] for name in sorted(changes))
        views = tuple(view_of(status_of(flag)) for flag in flags if flag.experiment is not None)
        return answer_json(ExperimentList(experiments=views))

    async def _show(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        query, name = Query(request.query), request.match_info["flag"]
        effect = query.number("effect", least=LEAST_EFFECT, most=MOST_EFFECT) or USUAL_EFFECT
        query.rest()
        flag = self._snapshot().changes.get(name)
        experiment_of(name, flag)
        status = await self._reads.run(lambda: self._look(existing(name, flag), effect))
        return answer_json(view_of(status), headers={hdrs.ETAG: etag(status.flag.revision)})

    async def _start(self, request: web.Request) -> web.Response:
        asked = await read_asked(request, self._access, DESIGNED)
        written = await self._writes.run(lambda: self._log.write(self._starting(asked)))
        return _answer(written, status=201)

    async def _conclude(self, request: web.Request) -> web.Response:
        asked = await read_asked(request, self._access, CONCLUDED)
        conclusion, faults = read_conclusion(asked.fields)
        asked = asked._replace(faults=(*asked.faults, *faults))
        edit = await self._reads.run(lambda: self._concluding(asked, conclusion))
        return _answer(await self._writes.run(lambda: self._log.write(edit)))

    # On another thread.

    def _starting(self, asked: Asked) -> Edit:
        design, faults = read_design(asked.name, asked.fields)
        asked = asked._replace(faults=(*asked.faults, *faults))
        if design is None:
            raise InvalidFlagError(asked.name, asked.faults)
        flag = latest(self._log, asked.name)
        return asked.edit(flag, lambda: start(design, flag, asked.author))

    def _concluding(self, asked: Asked, conclusion: Conclusion) -> Edit:
        flag = existing(asked.name, latest(self._log, asked.name))
        experiment_of(asked.name, flag)

        def act() -> Edit:
            running(flag)
            assessment = conclusive(self._look(flag, USUAL_EFFECT))
            return conclude(flag, assessment, asked.author, arm=conclusion.arm, anyway=conclusion.anyway)

        return asked.edit(flag, act)


def _answer(written: FlagChange, *, status: int = 200) -> web.Response:
    return answer_json(view_of(status_of(written)), status=status, headers={hdrs.ETAG: etag(written.revision)})
