"""The whole document, OpenAPI 3.1, generated from the types that are sent and answered."""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from flags.api import ofrep, views
from flags.experiments.views import ExperimentList, ExperimentView
from flags.rollouts.views import RolloutList, RolloutView
from health.report import CONTENT_TYPE as HEALTH_JSON
from infra.openapi.deadletters import DEAD_LETTER_TYPES, dead_letter_operations
from infra.openapi.experiments import experiment_operations, experiment_schemas
from infra.openapi.feedback import feedback_operations, feedback_schemas
from infra.openapi.flags import flag_operations, flag_schemas
from infra.openapi.operation import JSON, Answer, Operation, Parameter, Schema, problems
from infra.openapi.releases import RELEASE_TYPES, release_operations
from infra.openapi.results import RESULT_TYPES, result_operations
from infra.openapi.rollouts import rollout_operations, rollout_schemas
from schemas.access import API_KEY
from schemas.cloudevents import STRUCTURED
from schemas.events import Utterance
from schemas.problem import Problem
from streams.api import CLASSIFY, Classified
from streams.contract import OPENAPI, SCHEMAS
from streams.learning.feedback_route import FeedbackTaken

_HEALTH = "Health"
_HEALTH_SCHEMA: Schema = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["pass", "warn", "fail"]},
        "output": {"type": "string"},
        "checks": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "object"}}},
    },
}
_PUBLISH = Parameter("publish", "query", "`false`: answered only, to try it out.", {"type": "boolean", "default": True})
_TYPES: tuple[type, ...] = (
    Utterance,
    Classified,
    FeedbackTaken,
    *RESULT_TYPES,
    *DEAD_LETTER_TYPES,
    *RELEASE_TYPES,
    Problem,
    views.FlagList,
    views.FlagView,
    views.WrittenFlag,
    views.CheckedFlag,
    views.HistoryPage,
    RolloutList,
    RolloutView,
    ExperimentList,
    ExperimentView,
    ofrep.EvaluationRequest,
    ofrep.EvaluationSuccess,
    ofrep.EvaluationFailure,
    ofrep.FlagNotFound,
    ofrep.BulkEvaluation,
    ofrep.BulkFailure,
)


def openapi_document(version: str) -> dict[str, Any]:
    """Return the document.

    Args:
        version: Of intentstream.
    """
    paths: dict[str, dict[str, Schema]] = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method] = operation.render()
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "intentstream",
            "version": version,
            "summary": "What a worker serves over HTTP.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of `access.tokens`; without any, this machine's users are let in.",
                },
                "key": {"type": "apiKey", "in": "header", "name": API_KEY, "description": "The same."},
            },
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain


def operations() -> list[Operation]:
    """Return everything that a worker serves."""
    return [
        _classify(),
        *feedback_operations(),
        *flag_operations(),
        *rollout_operations(),
        *experiment_operations(),
        *result_operations(),
        *dead_letter_operations(),
        *release_operations(),
        *_health(),
    ]


def _classify() -> Operation:
    return Operation(
        "post",
        CLASSIFY,
        "classify",
        "Intents",
        "Classify an utterance now; the result is published as well.",
        {200: Answer("The result.", Classified)} | problems(400, 408, 413),
        (_PUBLISH,),
        body={JSON: Utterance, STRUCTURED: {"type": "object", "description": "A CloudEvent with an utterance."}},
    )


def _health() -> list[Operation]:
    well, ill = Answer("It is well.", _HEALTH_SCHEMA, HEALTH_JSON), Answer("It is not.", _HEALTH_SCHEMA, HEALTH_JSON)
    bug = problems(500)[500]
    text, document = Answer("Metrics.", {"type": "string"}, "text/plain"), Answer("This document.", {"type": "object"})
    probes = {
        "/health": ("health", "How this worker is."),
        "/health/live": ("healthLive", "Whether it runs."),
        "/health/ready": ("healthReady", "Whether sending it traffic makes sense."),
        "/health/startup": ("healthStartup", "Whether it can answer yet."),
        "/health/models": ("healthModels", "How its tiers are, and who picks them."),
        "/health/dependencies": ("healthDependencies", "How each of its dependencies is."),
        "/health/flags": ("healthFlags", "How well it knows the flags."),
    }
    return [
        *(
            Operation("get", path, name, _HEALTH, summary, {200: well, 503: ill, 500: bug})
            for path, (name, summary) in probes.items()
        ),
        Operation("get", "/metrics", "metrics", _HEALTH, "Prometheus' text format.", {200: text} | problems(500)),
        Operation("get", OPENAPI, "openapi", _HEALTH, "This document.", {200: document} | problems(500)),
        Operation(
            "get",
            f"{SCHEMAS}/{{file}}",
            "schema",
            _HEALTH,
            "The events: `asyncapi.json`, and the JSON Schema of each.",
            {200: Answer("It.", {"type": "object"})} | problems(404, 500),
            (Parameter("file", "path", "Such as `asyncapi.json`.", {"type": "string"}),),
        ),
    ]


def _schemas() -> dict[str, Schema]:
    _, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    schemas = {name: _tidy(schema) for name, schema in components.items()}
    schemas |= feedback_schemas() | flag_schemas(schemas) | rollout_schemas(schemas) | experiment_schemas(schemas)
    return dict(sorted(schemas.items()))


def _tidy(schema: Schema) -> Schema:
    """Take the indentation of docstrings out of a description."""
    described = {"description": inspect.cleandoc(schema["description"])} if "description" in schema else {}
    return schema | described
