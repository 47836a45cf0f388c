"""The HTTP route that sends dead letters again: what the command line can do, for programs and the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from flags.api.reading import answer_json
from flags.api.requests import Query, json_object
from schemas.errors import InvalidRequestError
from schemas.tokens import Scope
from streams.deadletters import Replayed, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from flags.api.blocking import BlockingCalls
    from schemas.access import Access
    from streams.deadletters import Place, Plan

_log = structlog.get_logger(__name__)

REPLAY = "/api/v1/dead-letters/replay"

_MOST_SHOWN = 100


class LetterLeft(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter that is not sent."""

    id: Annotated[str, Meta(description="Its partition and offset in the dead-letter topic.")]
    reason: str


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to send again."""

    codes: Annotated[
        Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=50)],
        Meta(description="Kinds of fault; none: all."),
    ] = ()
    dry_run: Annotated[bool, Meta(description="Say what would be sent, and send nothing.")] = False


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay did, or would do."""

    dry_run: bool
    found: Annotated[int, Meta(ge=0, description="That can be sent.")]
    sent: Annotated[int, Meta(ge=0, description="That the broker has acknowledged.")]
    topics: Annotated[dict[str, int], Meta(description="How many go to each topic.")]
    not_sent: Annotated[dict[str, int], Meta(description="How often each reason kept one from being sent.")]
    left: Annotated[tuple[LetterLeft, ...], Meta(description=f"Those that cannot be sent; the first {_MOST_SHOWN}.")]


class DeadLetterRoutes:
    """`POST /api/v1/dead-letters/replay`.

    Args:
        access: Who may.
        plan: Finds out what would be sent; blocking.
        replay: Sends it; blocking.
        calls: Makes blocking calls.
    """

    def __init__(
        self,
        *,
        access: Access,
        plan: Callable[[Selection], Plan],
        replay: Callable[[Collection[Place]], Replayed],
        calls: BlockingCalls,
    ) -> None:
        self._access = access
        self._plan = plan
        self._replay = replay
        self._calls = calls

    def mount(self, application: web.Application) -> None:
        """Have an application serve it, and take no more calls when it shuts down."""
        application.add_routes([web.post(REPLAY, self._post)])
        application.on_shutdown.append(self._close)

    async def _post(self, request: web.Request) -> web.Response:
        caller = self._access.admit(request, Scope.DEAD_LETTERS_REPLAY)
        Query(request.query).rest()
        asked = _asked(await json_object(request))
        report = await self._calls.run(lambda: self._carry_out(asked))
        if not asked.dry_run:
            _log.info("dead_letters_replayed", by=caller.name, found=report.found, sent=report.sent)
        return answer_json(report)

    def _carry_out(self, asked: ReplayRequest) -> ReplayReport:
        """Plan and, unless it is a dry run, send; on another thread."""
        plan = self._plan(Selection(codes=frozenset(asked.codes)))
        done = Replayed(sent=0, failures={}) if asked.dry_run else self._replay(plan.places)
        left = sorted(plan.left.items())[:_MOST_SHOWN]
        return ReplayReport(
            dry_run=asked.dry_run,
            found=len(plan.places),
            sent=done.sent,
            topics=dict(plan.topics),
            not_sent=dict(done.failures),
            left=tuple(LetterLeft(id=f"{partition}/{offset}", reason=why) for (partition, offset), why in left),
        )

    async def _close(self, _application: web.Application) -> None:
        self._calls.close()


def _asked(said: Mapping[str, Any]) -> ReplayRequest:
    """Return what is asked for.

    Raises:
        InvalidRequestError: It makes no sense.
    """
    try:
        return msgspec.convert(said, ReplayRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"{error}.") from error
