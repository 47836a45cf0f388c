"""The HTTP routes of releases: what `intentstream models` does with those that were pushed, for programs and people."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from flags.api.reading import answer_json
from flags.api.requests import Query, json_object
from schemas.errors import InvalidRequestError
from schemas.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flags.api.blocking import BlockingCalls
    from schemas.access import Access, Caller
    from schemas.events import ModelRelease
    from streams.release_acts import ReleaseActs

_log = structlog.get_logger(__name__)

RELEASES = "/api/v1/models"
PROMOTE = f"{RELEASES}/{{model}}/promote"
SHADOW = f"{RELEASES}/{{model}}/shadow"
ROLL_BACK = f"{RELEASES}/{{model}}/rollback"

_MOST_SHOWN = 50

Asked = TypeVar("Asked")

_Reason = Annotated[str, Meta(min_length=1, max_length=500, description="Why; it stands in the log.")]
_ChangedBy = Annotated[str | None, Meta(description="Who; only where no token says it.")]


class PushedRelease(msgspec.Struct, frozen=True, kw_only=True):
    """A release that can be served."""

    model: str
    release: str
    serving: Annotated[bool, Meta(description="Whether it is the one that is to serve.")]
    trial: Annotated[
        str | None, Meta(description="`shadow` or `rollout`, while it is tried beside the one that serves.")
    ] = None
    released_at: str
    changed_by: Annotated[str, Meta(description="Who pushed it.")]
    reason: str
    metrics: dict[str, float]


class ReleaseList(msgspec.Struct, frozen=True, kw_only=True):
    """What was pushed, the latest first, and what serves."""

    revision: int
    releases: Annotated[tuple[PushedRelease, ...], Meta(description=f"The latest {_MOST_SHOWN}.")]
    previous: Annotated[
        dict[str, str], Meta(description="By model, what served before the one that does: where a rollback leads.")
    ]


class PromoteRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which release is to serve, or to be tried."""

    release: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: _Reason
    changed_by: _ChangedBy = None


class RollBackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why what serves is not to."""

    reason: _Reason
    changed_by: _ChangedBy = None


class ServedRelease(msgspec.Struct, frozen=True, kw_only=True):
    """What is to serve from now on, or to be tried; workers fetch, verify and warm it first."""

    model: str
    release: str
    revision: int
    left_out: Annotated[
        str | None, Meta(description="The fine-tuned release that tells other intents apart, and waits.")
    ] = None

    trial: Annotated[
        str | None, Meta(description="Where it serves nobody yet, or any more: `shadow` or `withdrawn`.")
    ] = None


class ReleaseRoutes:
    """`/api/v1/models` and what is below.

    Args:
        access: Who may.
        acts: Reads and writes the log; blocking.
        calls: Makes blocking calls.
    """

    def __init__(self, *, access: Access, acts: ReleaseActs, calls: BlockingCalls) -> None:
        self._access = access
        self._acts = acts
        self._calls = calls

    def mount(self, application: web.Application) -> None:
        """Have an application serve them, and take no more calls when it shuts down."""
        application.add_routes(
            [
                web.get(RELEASES, self._list),
                web.post(PROMOTE, self._promote),
                web.post(SHADOW, self._shadow),
                web.post(ROLL_BACK, self._roll_back),
            ]
        )
        application.on_shutdown.append(self._close)

    async def _list(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.MODELS_READ)
        Query(request.query).rest()
        return answer_json(await self._calls.run(self._read))

    async def _promote(self, request: web.Request) -> web.Response:
        caller, asked = await self._asked(request, PromoteRequest)
        return await self._act(caller, asked, partial(self._acts.promote, request.match_info["model"], asked.release))

    async def _shadow(self, request: web.Request) -> web.Response:
        caller, asked = await self._asked(request, PromoteRequest)
        return await self._act(caller, asked, partial(self._acts.shadow, request.match_info["model"], asked.release))

    async def _roll_back(self, request: web.Request) -> web.Response:
        caller, asked = await self._asked(request, RollBackRequest)
        return await self._act(caller, asked, partial(self._acts.roll_back, request.match_info["model"]))

    async def _asked(self, request: web.Request, kind: type[Asked]) -> tuple[Caller, Asked]:
        caller = self._access.admit(request, Scope.MODELS_WRITE)
        Query(request.query).rest()
        return caller, _converted(await json_object(request), kind)

    async def _act(
        self, caller: Caller, asked: PromoteRequest | RollBackRequest, act: Callable[..., ModelRelease]
    ) -> web.Response:
        by = _who(caller, asked.changed_by)

        def carry_out() -> ServedRelease:
            record = act(by=by, reason=asked.reason)
            return ServedRelease(
                model=record.name,
                release=record.release,
                revision=record.revision,
                left_out=self._acts.left_out(record),
                trial=record.trial.stage if record.trial is not None and record.state == "candidate" else None,
            )

        served = await self._calls.run(carry_out)
        _log.info("release_changed", model=served.model, release=served.release, trial=served.trial, by=by)
        return answer_json(served)

    def _read(self) -> ReleaseList:
        log = self._acts.read()
        serving = {record.release for record in log.serving.values()}
        return ReleaseList(
            revision=log.revision,
            releases=tuple(
                PushedRelease(
                    model=record.name,
                    release=record.release,
                    serving=record.release in serving,
                    trial=record.trial.stage if record == log.trial and record.trial is not None else None,
                    released_at=record.released_at,
                    changed_by=record.changed_by,
                    reason=record.reason,
                    metrics=record.metrics,
                )
                for record in log.pushed()[: -_MOST_SHOWN - 1 : -1]
            ),
            previous={model: record.previous[0] for model, record in log.serving.items() if record.previous},
        )

    async def _close(self, _application: web.Application) -> None:
        self._calls.close()
        self._acts.close()


def _converted(said: Mapping[str, object], kind: type[Asked]) -> Asked:
    """Return what is asked for.

    Raises:
        InvalidRequestError: It makes no sense.
    """
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"{error}.") from error


def _who(caller: Caller, said: str | None) -> str:
    """Return who acts.

    Raises:
        InvalidRequestError: Nobody is named, or another than whose token it is.
    """
    if caller.name is not None and said not in {None, caller.name}:
        raise InvalidRequestError(f"changed_by: it is {caller.name}, whose token this is.")
    if by := (caller.name or said or "").strip():
        return by
    raise InvalidRequestError("changed_by: say who does it, for no token does.")
