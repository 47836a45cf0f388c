"""The HTTP operation by which people correct answers, or confirm them."""

from __future__ import annotations

from infra.openapi.operation import JSON, Answer, Operation, Schema, problems
from models.catalogue_source import INTENT_NAME
from schemas.events import MAX_IDENTIFIER_CHARACTERS
from schemas.tokens import Scope
from streams.learning.feedback_route import PATH, FeedbackTaken

_NAME = "Feedback"


def feedback_operations() -> list[Operation]:
    """Return the operation."""
    return [
        Operation(
            "post",
            PATH,
            "giveFeedback",
            _NAME,
            "Say what an utterance's intent really is, or that an answer was right.",
            {201: Answer("The broker has it; the guard decides what becomes of it.", FeedbackTaken)}
            | problems(400, 401, 403, 408, 413, 415),
            body={JSON: {"$ref": f"#/components/schemas/{_NAME}"}},
            scope=Scope.FEEDBACK_WRITE,
        )
    ]


def feedback_schemas() -> dict[str, Schema]:
    """Return the schema of what is sent."""
    identifier: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER_CHARACTERS}
    who: dict[str, Schema] = {
        "utterance_id": identifier | {"description": "Of what was said."},
        "person_id": identifier | {"description": "Who says so; corrections count by distinct people."},
        "result_id": identifier | {"description": "Of the answer that it is about."},
    }
    what: dict[str, Schema] = {
        "intent": {
            "type": ["string", "null"],
            "pattern": f"^{INTENT_NAME.pattern}$",
            "description": "The right intent; `null` is out of scope.",
        },
        "text": {"type": "string", "minLength": 1, "description": "What was said, which is learnt from."},
        "user_id": identifier | {"description": "Who said it, if not the person who corrects."},
    }
    correction: Schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["utterance_id", "person_id", "intent", "text"],
        "properties": {"kind": {"const": "correction"}} | who | what,
    }
    confirmation: Schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["kind", "utterance_id", "person_id"],
        "properties": {"kind": {"const": "confirmation"}} | who,
    }
    return {_NAME: {"description": "A correction or a confirmation.", "oneOf": [correction, confirmation]}}
