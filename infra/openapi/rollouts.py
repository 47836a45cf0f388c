"""The rollouts' HTTP operations."""

from __future__ import annotations

from typing import Any

from flags.rollouts.requests import ACTS, PLANNED
from flags.rollouts.routes import ROOT
from flags.rollouts.views import RolloutList, RolloutView
from infra.openapi.flags import BODIES, CHANGED_BY, ETAG, FLAG, IF_MATCH, READING, REASON, WRITING
from infra.openapi.operation import JSON, Answer, Operation, Schema, problems
from schemas.tokens import Scope

_TAG = "Rollouts"
_ONE = f"{ROOT}/{{flag}}"
_SUMMARIES = {
    "pause": "Leave a flag at its step until somebody goes on.",
    "resume": "Go on; evidence begins anew.",
    "skip": "Take a flag to its next step at once, whatever the evidence says.",
    "abort": "End a rollout, and take the flag from everyone whom chance gave it.",
}


def rollout_operations() -> list[Operation]:
    """Return the operations on rollouts."""
    listed = {200: Answer("All of them, as the log has them; what the evidence says, one by one.", RolloutList)}
    shown = {200: Answer("Where it stands, and what the evidence says.", RolloutView, headers=ETAG)}
    missing = problems(status_404="The flag has no rollout.")
    write, both = Scope.FLAGS_WRITE, (FLAG, IF_MATCH)
    return [
        Operation("get", ROOT, "listRollouts", _TAG, "Every rollout.", listed | READING, scope=Scope.FLAGS_READ),
        Operation(
            "get", _ONE, "getRollout", _TAG, "One rollout.", shown | READING | missing, (FLAG,), scope=Scope.FLAGS_READ
        ),
        Operation(
            "post",
            _ONE,
            "startRollout",
            _TAG,
            "Let a flag climb by itself for as long as its guardrails hold.",
            {201: Answer("It climbs.", RolloutView, headers=ETAG)} | WRITING | BODIES,
            both,
            body={JSON: {"$ref": "#/components/schemas/RolloutPlan"}},
            scope=write,
        ),
        *(
            Operation(
                "post",
                f"{_ONE}/{word}",
                f"{word}Rollout",
                _TAG,
                _SUMMARIES[word],
                {200: Answer("The rollout as it is now.", RolloutView, headers=ETAG)} | WRITING | BODIES,
                both,
                body={JSON: {"$ref": "#/components/schemas/RolloutAct"}},
                scope=write,
            )
            for word in ACTS
        ),
    ]


def rollout_schemas(components: dict[str, Any]) -> dict[str, Schema]:
    """Return the schemas of what is sent.

    Args:
        components: The schemas of what is answered, by name.
    """
    fields = components["Rollout"]["properties"]
    said = {"reason": REASON, "changed_by": CHANGED_BY}
    body: Schema = {"type": "object", "additionalProperties": False, "required": ["reason"]}
    plan = {name: fields[name] for name in PLANNED} | said
    return {
        "RolloutPlan": body
        | {"description": "How a flag is to climb; all but the reason has defaults.", "properties": plan},
        "RolloutAct": body | {"description": "Why, and who.", "properties": said},
    }
