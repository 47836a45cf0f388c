"""The HTTP routes that change flags. Each change says who and why, and may say what it is based on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import hdrs, web

from flags.api.acting import SAYS_WHO_AND_WHY, author_of
from flags.api.preconditions import etag, expected_revisions
from flags.api.reading import ROOT, answer_json, no_such_flag
from flags.api.requests import Query, json_object
from flags.api.views import WrittenFlag
from flags.edits import EDITABLE, Edit, flag_state
from schemas.errors import UnknownFlagError
from schemas.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flags.api.blocking import BlockingCalls
    from flags.evaluation import Snapshot
    from flags.propagation import Propagation
    from schemas.access import Access, Caller
    from schemas.events import FlagChange

MOST_WAIT_SECONDS = 60.0
_WAIT_SECONDS = 10.0


class FlagWriting:
    """`PUT`, `PATCH` and `DELETE /api/v1/feature-flags/{flag}`.

    Args:
        access: Who may write.
        write: Makes a change, as `flags.writer.Writer.write` does; blocking.
        snapshot: Returns the flags that this worker decides by.
        overrides: What this worker's environment says.
        propagation: Knows when a change is in force everywhere.
        calls: Makes blocking calls.
    """

    def __init__(
        self,
        *,
        access: Access,
        write: Callable[[Edit], FlagChange],
        snapshot: Callable[[], Snapshot],
        overrides: Mapping[str, bool],
        propagation: Propagation,
        calls: BlockingCalls,
    ) -> None:
        self._access = access
        self._write = write
        self._snapshot = snapshot
        self._overrides = overrides
        self._propagation = propagation
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        path = f"{ROOT}/{{flag}}"
        return [web.put(path, self._put), web.patch(path, self._patch), web.delete(path, self._delete)]

    async def _put(self, request: web.Request) -> web.Response:
        caller = self._access.admit(request, Scope.FLAGS_WRITE)
        wait = _wait_seconds(Query(request.query))
        body = await json_object(request)
        faults = [] if "enabled" in body else ["enabled: say whether it is on; what is left out goes to its default"]
        edit = _edit(request, caller, body, faults)
        is_new = flag_state(edit.name, self._snapshot().changes) is None
        edit = msgspec.structs.replace(edit, replace=True, create=True)
        return await self._answer(edit, wait, status=201 if is_new else 200)

    async def _patch(self, request: web.Request) -> web.Response:
        caller = self._access.admit(request, Scope.FLAGS_WRITE)
        wait = _wait_seconds(Query(request.query))
        body = await json_object(request)
        edit = _edit(request, caller, body, [])
        if not edit.fields:
            edit = msgspec.structs.replace(edit, faults=(*edit.faults, "say what is to change"))
        return await self._answer(edit, wait)

    async def _delete(self, request: web.Request) -> web.Response:
        caller = self._access.admit(request, Scope.FLAGS_WRITE)
        query = Query(request.query)
        said = {name: value for name in ("reason", "changed_by") if (value := query.text(name)) is not None}
        wait = _wait_seconds(query)
        edit = msgspec.structs.replace(_edit(request, caller, said, []), delete=True)
        return await self._answer(edit, wait)

    async def _answer(self, edit: Edit, wait_seconds: float | None, *, status: int = 200) -> web.Response:
        """Make a change, wait for it if that is wanted, and answer with the flag as it is now.

        The answer is 202 if the wait was over before everybody had applied it: the change is made all the same.
        """
        try:
            written = await self._calls.run(lambda: self._write(edit))
        except UnknownFlagError:
            raise no_such_flag(edit.name) from None
        applied = None
        if wait_seconds is not None:
            applied = await self._propagation.wait_applied(written.revision, wait_seconds)
            status = 202 if applied.missing else status
        state = flag_state(written.name, {written.name: written}) or written
        answer = WrittenFlag(
            **msgspec.structs.asdict(state), overridden=self._overrides.get(state.name), applied=applied
        )
        return answer_json(answer, status=status, headers={hdrs.ETAG: etag(written.revision)})


def _edit(request: web.Request, caller: Caller, said: Mapping[str, Any], faults: list[str]) -> Edit:
    """Return the change that is asked for, with what is wrong with how it is asked for."""
    name = request.match_info["flag"]
    expected = expected_revisions(name, request.headers)
    author, unsaid = author_of(caller, said)
    fields = {field: value for field, value in said.items() if field not in SAYS_WHO_AND_WHY}
    faults += [*unsaid, *(f"{field[:64]}: it cannot be set here" for field in fields if field not in EDITABLE)]
    return Edit(
        name=name,
        fields={field: value for field, value in fields.items() if field in EDITABLE},
        changed_by=author.changed_by,
        reason=author.reason,
        expected_revisions=expected,
        faults=tuple(faults),
    )


def _wait_seconds(query: Query) -> float | None:
    """Return for how long to wait until everybody has applied a change; None: not at all.

    Raises:
        InvalidRequestError: Everything that is wrong with the query.
    """
    wait, seconds = query.text("wait"), query.seconds("timeout_seconds", most=MOST_WAIT_SECONDS)
    if wait not in {None, "all"}:
        query.faults.append("wait is all, or left out.")
    query.rest()
    return None if wait is None else seconds or _WAIT_SECONDS
