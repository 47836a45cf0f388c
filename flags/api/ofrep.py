"""OpenFeature's remote evaluation protocol (OFREP 0.3), so that its clients in any language can ask a worker.

It knows fewer reasons than we give: what nobody has changed is static there, and what no rule matched is unknown; our
own word is in the metadata. A request without a targeting key is refused only where that would decide.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta

from flags.api.reading import answer_json
from flags.api.requests import JSON, json_object
from flags.compiling import ErrorCode, Evaluation, Origin, Reason
from flags.evaluation import Context
from schemas.errors import InvalidRequestError
from schemas.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from flags.evaluation import Snapshot
    from schemas.access import Access

BULK = "/ofrep/v1/evaluate/flags"

_MAX_KEY_CHARACTERS = 256


class EvaluationContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asks; any other property is an attribute that rules may ask for."""

    targetingKey: Annotated[str | None, Meta(description="The user.")] = None  # noqa: N815 - the protocol's name


class EvaluationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A question."""

    context: EvaluationContext


class EvaluationSuccess(msgspec.Struct, frozen=True, kw_only=True):
    """What a flag is for who asks."""

    key: str
    value: Annotated[Any, Meta(description="Of the flag's type.")]
    reason: Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]
    variant: str
    metadata: Annotated[
        dict[str, bool | int | str],
        Meta(description="`version`: the revision of its last change; `origin`, `reason` and `detail`: our own words."),
    ]


class EvaluationFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a flag has no value for who asks."""

    key: str
    errorCode: Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]  # noqa: N815 - the protocol's name
    errorDetails: str  # noqa: N815 - likewise


class FlagNotFound(msgspec.Struct, frozen=True, kw_only=True):
    """There is no such flag."""

    key: str
    errorCode: Literal["FLAG_NOT_FOUND"] = "FLAG_NOT_FOUND"  # noqa: N815 - the protocol's name
    errorDetails: str = "There is no such flag."  # noqa: N815 - likewise


_OUTCOMES = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (EvaluationSuccess, EvaluationFailure)]
"""msgspec itself has no schema of what is one or the other and does not say which."""


class BulkEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What every flag is for who asks."""

    flags: Annotated[tuple[Any, ...], Meta(extra_json_schema={"items": {"anyOf": _OUTCOMES}})]
    metadata: Annotated[dict[str, bool | int | str], Meta(description="`revision`: of the flags.")]


class BulkFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing was evaluated."""

    errorCode: Literal["PARSE_ERROR", "INVALID_CONTEXT"]  # noqa: N815 - the protocol's name
    errorDetails: str  # noqa: N815 - likewise


class RemoteEvaluation:
    """`POST /ofrep/v1/evaluate/flags` and `/ofrep/v1/evaluate/flags/{key}`.

    Args:
        access: Who may read.
        snapshot: Returns the flags that this worker decides by.
        hold: Returns when it is certain that what this worker knows still counts.
    """

    def __init__(
        self, *, access: Access, snapshot: Callable[[], Snapshot], hold: Callable[[], Awaitable[None]]
    ) -> None:
        self._access = access
        self._snapshot = snapshot
        self._hold = hold

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [web.post(BULK, self._evaluate_all), web.post(f"{BULK}/{{key:[\\s\\S]+}}", self._evaluate)]

    async def _evaluate(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        key = request.match_info["key"]
        context = await _context(request)
        if isinstance(context, BulkFailure):
            return answer_json(EvaluationFailure(key=key, **msgspec.structs.asdict(context)), status=400)
        await self._hold()
        evaluation = self._snapshot().evaluate(key, context)
        if evaluation.error_code is ErrorCode.FLAG_NOT_FOUND:
            return answer_json(FlagNotFound(key=key[:_MAX_KEY_CHARACTERS]), status=404)
        answer = _outcome(key, evaluation)
        return answer_json(answer, status=200 if isinstance(answer, EvaluationSuccess) else 400)

    async def _evaluate_all(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FLAGS_READ)
        context = await _context(request)
        if isinstance(context, BulkFailure):
            return answer_json(context, status=400)
        await self._hold()
        snapshot = self._snapshot()
        outcomes = tuple(_outcome(name, snapshot.evaluate(name, context)) for name in snapshot.names)
        body = msgspec.json.encode(BulkEvaluation(flags=outcomes, metadata={"revision": snapshot.revision}))
        tag = hashlib.sha256(body).hexdigest()[:32]  # of the answer, for the same flags are others' to another context
        headers = {hdrs.ETAG: f'"{tag}"'}
        if tag in _tags(request.headers.get(hdrs.IF_NONE_MATCH, "")):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=JSON, headers=headers)


async def _context(request: web.Request) -> Context | BulkFailure:
    """Return who asks, or why that cannot be told."""
    try:
        context = (await json_object(request)).get("context")
    except web.HTTPUnsupportedMediaType:
        return BulkFailure(errorCode="PARSE_ERROR", errorDetails=f"The body is {JSON}, and says so.")
    except InvalidRequestError as error:
        return BulkFailure(errorCode="PARSE_ERROR", errorDetails=str(error))
    if not isinstance(context, dict):
        return BulkFailure(errorCode="INVALID_CONTEXT", errorDetails="context is missing, or no object.")
    user_id = context.pop("targetingKey", "")
    if not isinstance(user_id, str):
        return BulkFailure(errorCode="INVALID_CONTEXT", errorDetails="targetingKey is no text.")
    return Context(user_id=user_id or None, attributes=context)


def _outcome(key: str, answer: Evaluation) -> EvaluationSuccess | EvaluationFailure:
    if answer.error_code is not None or answer.variant is None:
        code: Literal["TARGETING_KEY_MISSING", "INVALID_CONTEXT"] = (
            "TARGETING_KEY_MISSING" if answer.error_code is ErrorCode.TARGETING_KEY_MISSING else "INVALID_CONTEXT"
        )
        return EvaluationFailure(key=key, errorCode=code, errorDetails=answer.detail)
    metadata: dict[str, bool | int | str] = {
        "version": answer.version,
        "origin": answer.origin.value,
        "reason": answer.reason.value,
        "detail": answer.detail,
    }
    return EvaluationSuccess(
        key=key, value=answer.value, reason=_reason(answer), variant=answer.variant, metadata=metadata
    )


def _reason(answer: Evaluation) -> Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]:
    if answer.reason is Reason.DEFAULT:
        return "STATIC" if answer.origin is Origin.DEFAULT else "UNKNOWN"
    return _REASONS[answer.reason]


_REASONS: dict[Reason, Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]] = {
    Reason.STATIC: "STATIC",
    Reason.TARGETING_MATCH: "TARGETING_MATCH",
    Reason.SPLIT: "SPLIT",
    Reason.DISABLED: "DISABLED",
    Reason.ERROR: "UNKNOWN",
}


def _tags(header: str) -> set[str]:
    """Return the tags of an If-None-Match, compared weakly as RFC 9110 has it; clients leave out the quotes, too."""
    return {each.strip().removeprefix("W/").strip('"') for each in header.split(",")}
