"""The dead letters' HTTP operation."""

from __future__ import annotations

from infra.openapi.flags import BODIES, READING
from infra.openapi.operation import JSON, Answer, Operation
from schemas.tokens import Scope
from streams.deadletter_routes import REPLAY, ReplayReport, ReplayRequest

DEAD_LETTER_TYPES: tuple[type, ...] = (ReplayRequest, ReplayReport)


def dead_letter_operations() -> list[Operation]:
    """Return the operations on dead letters."""
    return [
        Operation(
            "post",
            REPLAY,
            "replayDeadLetters",
            "Dead letters",
            "Send dead letters back to the topics they came from, as they were.",
            {200: Answer("What was done, or would be.", ReplayReport)} | READING | BODIES,
            body={JSON: ReplayRequest},
            scope=Scope.DEAD_LETTERS_REPLAY,
        )
    ]
