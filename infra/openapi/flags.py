"""The flags' HTTP operations, OpenFeature's remote evaluation among them."""

from __future__ import annotations

from typing import Any

from flags.api import ofrep
from flags.api.reading import MOST_CHANGES, ROOT
from flags.api.views import CheckedFlag, FlagList, FlagView, HistoryPage, WrittenFlag
from flags.api.writing import MOST_WAIT_SECONDS
from flags.edits import EDITABLE
from flags.validation import MAX_TEXT_CHARACTERS
from infra.openapi.operation import JSON, Answer, Operation, Parameter, Schema, problems
from schemas.events import MAX_IDENTIFIER_CHARACTERS
from schemas.tokens import Scope

_TAG, _OFREP_TAG = "Flags", "OpenFeature remote evaluation"
_EXAMPLE = {"rollout_percentage": 12.5, "reason": "Trying it on an eighth of the users.", "changed_by": "ada"}
_ONE = f"{ROOT}/{{flag}}"

_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"}
FLAG = Parameter("flag", "path", "The flag's name.", _NAME)
REASON = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARACTERS, "description": "Why."}
_WHO = "Who; needed where no tokens are configured, else it is the token's holder."
CHANGED_BY = {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER_CHARACTERS, "description": _WHO}
ETAG = {"ETag": {"description": "The flag's revision, in quotes.", "schema": {"type": "string"}}}
_TAGS_SCHEMA = {"type": "string", "pattern": r'^(\*|"\d{1,18}"(, ?"\d{1,18}")*)$'}
IF_MATCH = Parameter(
    "If-Match", "header", "The revision that the change is based on, in quotes, or several; `*`: any.", _TAGS_SCHEMA
)
_WAITING = (
    Parameter(
        "wait",
        "query",
        "`all`: answer once every live worker has applied the change, or the time is over.",
        {"type": "string", "enum": ["all"]},
    ),
    Parameter(
        "timeout_seconds",
        "query",
        "How long to wait at most.",
        {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_WAIT_SECONDS, "default": 10},
    ),
)

READING = problems(400, 401, 403)
WRITING = problems(
    400,
    401,
    403,
    409,
    status_404="There is no such flag.",
    status_412="The flag is not at the revision that the change is based on; nothing was written.",
    status_422="Everything that is wrong with the flag as it would be; nothing was written.",
)
BODIES = problems(408, 413, 415)
_WRITTEN = {
    200: Answer("The flag as it is now.", WrittenFlag, headers=ETAG),
    202: Answer("The change is made, and `applied.missing` had not applied it in time.", WrittenFlag, headers=ETAG),
}


def flag_operations() -> list[Operation]:
    """Return the operations on flags."""
    return [*_reading(), *_writing(), *_remote()]


def flag_schemas(components: dict[str, Any]) -> dict[str, Schema]:
    """Return the schemas of what is sent to change a flag.

    Args:
        components: The schemas of what is answered, by name.
    """
    fields = components["FlagChange"]["properties"]
    editable = {name: fields[name] for name in EDITABLE} | {"reason": REASON, "changed_by": CHANGED_BY}
    body = {"type": "object", "properties": editable, "additionalProperties": False}
    return {
        "FlagState": body
        | {"description": "A flag's whole state; what is left out goes to its default."}
        | {"required": ["enabled", "reason"], "examples": [{"enabled": True} | _EXAMPLE]},
        "FlagPatch": body
        | {"description": "What is to be different; the rest stays."}
        | {"required": ["reason"], "examples": [_EXAMPLE]},
    }


def _reading() -> list[Operation]:
    missing = problems(status_404="There is no such flag.")
    moment: Schema = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]}
    listed, shown = {200: Answer("All of them.", FlagList)}, {200: Answer("The flag.", FlagView, headers=ETAG)}
    check = (
        FLAG,
        Parameter("user_id", "query", "For whom.", {"type": "string"}),
        Parameter("at", "query", "As of this revision or time; left out: now.", moment),
        Parameter(
            "attributes",
            "query",
            "More about them, each a parameter of its own.",
            {"type": "object", "additionalProperties": {"type": "string"}},
            exploded=True,
        ),
    )
    pages = (
        FLAG,
        Parameter("before", "query", "Only changes of smaller revisions.", {"type": "integer", "minimum": 1}),
        Parameter(
            "limit", "query", "How many.", {"type": "integer", "minimum": 1, "maximum": MOST_CHANGES, "default": 50}
        ),
    )
    scope = Scope.FLAGS_READ
    return [
        Operation("get", ROOT, "listFlags", _TAG, "All flags and segments.", listed | READING, scope=scope),
        Operation("get", _ONE, "getFlag", _TAG, "One flag.", shown | READING | missing, (FLAG,), scope=scope),
        Operation(
            "get",
            f"{ROOT}/check/{{flag}}",
            "checkFlag",
            _TAG,
            "What a flag is, or was, for somebody, and why.",
            {200: Answer("The answer.", CheckedFlag)} | READING | missing,
            check,
            scope=scope,
        ),
        Operation(
            "get",
            f"{_ONE}/history",
            "getFlagHistory",
            _TAG,
            "What a flag was, who changed it and why, the newest change first.",
            {200: Answer("A page.", HistoryPage)} | READING | missing,
            pages,
            scope=scope,
        ),
    ]


def _writing() -> list[Operation]:
    unmade = Parameter("If-None-Match", "header", "`*`: only if there is no such flag.", {"enum": ["*"]})
    said = (
        Parameter("reason", "query", "Why; needed.", REASON),
        Parameter("changed_by", "query", _WHO, {"type": "string"}),
    )
    created = {201: Answer("The flag was made.", WrittenFlag, headers=ETAG)}
    scope = Scope.FLAGS_WRITE
    return [
        Operation(
            "put",
            _ONE,
            "putFlag",
            _TAG,
            "Make a flag what is said, and make it if there is none.",
            _WRITTEN | created | WRITING | BODIES,
            (FLAG, IF_MATCH, unmade, *_WAITING),
            {JSON: {"$ref": "#/components/schemas/FlagState"}},
            scope,
        ),
        Operation(
            "patch",
            _ONE,
            "patchFlag",
            _TAG,
            "Change some fields of a flag.",
            _WRITTEN | WRITING | BODIES,
            (FLAG, IF_MATCH, *_WAITING),
            {JSON: {"$ref": "#/components/schemas/FlagPatch"}},
            scope,
        ),
        Operation(
            "delete",
            _ONE,
            "deleteFlag",
            _TAG,
            "Take a flag away; one of ours is its default again.",
            _WRITTEN | WRITING,
            (FLAG, IF_MATCH, *said, *_WAITING),
            scope=scope,
        ),
    ]


def _remote() -> list[Operation]:
    refused, limits = problems(401, 403), problems(408, 413)
    tag = {"ETag": {"description": "Of the answer.", "schema": {"type": "string"}}}
    return [
        Operation(
            "post",
            ofrep.BULK,
            "evaluateFlagsBulk",
            _OFREP_TAG,
            "What every flag is for somebody.",
            {
                200: Answer("An outcome for each flag.", ofrep.BulkEvaluation, headers=tag),
                304: Answer("The same as `If-None-Match` knows.", headers=tag),
                400: Answer("It cannot be told who asks.", ofrep.BulkFailure),
            }
            | refused
            | limits,
            (Parameter("If-None-Match", "header", "The tag of an earlier answer.", {"type": "string"}),),
            {JSON: ofrep.EvaluationRequest},
            Scope.FLAGS_READ,
        ),
        Operation(
            "post",
            f"{ofrep.BULK}/{{key}}",
            "evaluateFlag",
            _OFREP_TAG,
            "What a flag is for somebody.",
            {
                200: Answer("The outcome.", ofrep.EvaluationSuccess),
                400: Answer("It has none for who asks.", ofrep.EvaluationFailure),
                404: Answer("There is no such flag.", ofrep.FlagNotFound),
            }
            | refused
            | limits,
            (Parameter("key", "path", "The flag's name.", {"type": "string", "minLength": 1}),),
            {JSON: ofrep.EvaluationRequest},
            Scope.FLAGS_READ,
        ),
    ]
