"""The experiments' HTTP operations."""

from __future__ import annotations

from typing import Any

from flags.experiments.outlook import LEAST_EFFECT, MOST_EFFECT, USUAL_EFFECT
from flags.experiments.requests import NEEDED
from flags.experiments.routes import ROOT
from flags.experiments.validation import MAX_ARMS
from flags.experiments.views import ExperimentList, ExperimentView
from infra.openapi.flags import BODIES, CHANGED_BY, ETAG, FLAG, IF_MATCH, READING, REASON, WRITING
from infra.openapi.operation import JSON, Answer, Operation, Parameter, Schema, problems
from schemas.strategies import Strategy
from schemas.tokens import Scope

_TAG = "Experiments"
_ONE = f"{ROOT}/{{flag}}"
_EFFECT = Parameter(
    "effect",
    "query",
    "Say how long it takes to find an arm that is lower by this part.",
    {"type": "number", "minimum": LEAST_EFFECT, "maximum": MOST_EFFECT, "default": USUAL_EFFECT},
)


def experiment_operations() -> list[Operation]:
    """Return the operations on experiments."""
    listed = {200: Answer("All of them, as the log has them; what the results say, one by one.", ExperimentList)}
    shown = {200: Answer("How it stands, and what its results say.", ExperimentView, headers=ETAG)}
    missing = problems(status_404="There is no such experiment.")
    both = (FLAG, IF_MATCH)
    return [
        Operation("get", ROOT, "listExperiments", _TAG, "Every experiment.", listed | READING, scope=Scope.FLAGS_READ),
        Operation(
            "get",
            _ONE,
            "getExperiment",
            _TAG,
            "One experiment: verdict, arms, sample ratio, and how long it is likely to take.",
            shown | READING | missing,
            (FLAG, _EFFECT),
            scope=Scope.FLAGS_READ,
        ),
        Operation(
            "post",
            _ONE,
            "startExperiment",
            _TAG,
            "Put users into arms, each of which is a routing strategy.",
            {201: Answer("It runs.", ExperimentView, headers=ETAG)} | WRITING | BODIES,
            both,
            body={JSON: {"$ref": "#/components/schemas/ExperimentDesign"}},
            scope=Scope.FLAGS_WRITE,
        ),
        Operation(
            "post",
            f"{_ONE}/conclude",
            "concludeExperiment",
            _TAG,
            "Give everyone the best arm's strategy.",
            {200: Answer("The experiment as it is now.", ExperimentView, headers=ETAG)} | WRITING | BODIES,
            both,
            body={JSON: {"$ref": "#/components/schemas/ExperimentConclusion"}},
            scope=Scope.FLAGS_WRITE,
        ),
    ]


def experiment_schemas(components: dict[str, Any]) -> dict[str, Schema]:
    """Return the schemas of what is sent.

    Args:
        components: The schemas of what is answered, by name.
    """
    experiment, said = components["Experiment"]["properties"], {"reason": REASON, "changed_by": CHANGED_BY}
    arms: Schema = {
        "type": "object",
        "description": "The strategy of each arm, by name.",
        "minProperties": 2,
        "maxProperties": MAX_ARMS,
        "additionalProperties": {"enum": list(Strategy)},
    }
    percentage = {"type": "number", "minimum": 0, "maximum": 100, "description": "Of the users, how many take part."}
    design = {
        "arms": arms,
        "control": {"type": "string", "description": "The arm that the others are held against."},
        "metric": experiment["metric"],
        "percentage": percentage | {"default": 100},
        "alpha": experiment["alpha"],
    }
    conclusion: Schema = {
        "arm": {
            "type": "string",
            "description": "Which everyone gets; left out: the one that the results name.",
        },
        "anyway": {"type": "boolean", "description": "Even if the evidence does not speak for it.", "default": False},
    }
    body: Schema = {"type": "object", "additionalProperties": False}
    return {
        "ExperimentDesign": body
        | {"description": "What is to be compared.", "required": [*NEEDED, "reason"], "properties": design | said},
        "ExperimentConclusion": body
        | {"description": "How it is to end.", "required": ["reason"], "properties": conclusion | said},
    }
