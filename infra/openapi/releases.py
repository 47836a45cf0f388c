"""The releases' HTTP operations."""

from __future__ import annotations

from infra.openapi.flags import BODIES, READING
from infra.openapi.operation import JSON, Answer, Operation, Parameter, problems
from schemas.tokens import Scope
from streams.release_routes import (
    PROMOTE,
    RELEASES,
    ROLL_BACK,
    SHADOW,
    PromoteRequest,
    ReleaseList,
    RollBackRequest,
    ServedRelease,
)

RELEASE_TYPES: tuple[type, ...] = (ReleaseList, PromoteRequest, RollBackRequest, ServedRelease)

_MODEL = Parameter("model", "path", "`distilbert`, `zero_shot` or `catalogue`.", {"type": "string"})
_SERVED = {200: Answer("What is to serve now.", ServedRelease)}
_ACTING = (
    problems(
        400,
        401,
        403,
        409,
        status_404="There is no such release.",
        status_422="It does not go with the catalogue that serves, or cannot be used; nothing was written.",
    )
    | BODIES
)
_TAG = "Models"


def release_operations() -> list[Operation]:
    """Return the operations on releases."""
    return [
        Operation(
            "get",
            RELEASES,
            "listReleases",
            _TAG,
            "Which releases were pushed, and which serve.",
            {200: Answer("The releases.", ReleaseList)} | READING,
            scope=Scope.MODELS_READ,
        ),
        Operation(
            "post",
            PROMOTE,
            "promoteRelease",
            _TAG,
            "Have every worker serve a release that was pushed.",
            _SERVED | _ACTING,
            (_MODEL,),
            body={JSON: PromoteRequest},
            scope=Scope.MODELS_WRITE,
        ),
        Operation(
            "post",
            SHADOW,
            "shadowRelease",
            _TAG,
            "Try a release that was pushed beside what serves, before it comes to serve.",
            _SERVED | _ACTING,
            (_MODEL,),
            body={JSON: PromoteRequest},
            scope=Scope.MODELS_WRITE,
        ),
        Operation(
            "post",
            ROLL_BACK,
            "rollBackRelease",
            _TAG,
            "End what is tried; else have every worker serve again what served before.",
            _SERVED | _ACTING,
            (_MODEL,),
            body={JSON: RollBackRequest},
            scope=Scope.MODELS_WRITE,
        ),
    ]
