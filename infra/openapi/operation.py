"""One HTTP operation, as the document describes it: what may be sent, and every answer that may come."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from health.rate_limit import is_limited
from schemas.problem import PROBLEM_JSON, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.tokens import Scope

Schema = dict[str, Any]

JSON = "application/json"

_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_CHALLENGE = {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}}
_PROBLEM_HEADERS: Mapping[int, Schema] = {401: _CHALLENGE, 403: _CHALLENGE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}


class Parameter(NamedTuple):
    """Something in the path, the query or the headers."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    schema: Schema
    exploded: bool = False  # an object, each of whose properties is a parameter

    def render(self) -> Schema:
        """Return it as OpenAPI has it."""
        rendered: Schema = {"name": self.name, "in": self.place, "description": self.description}
        if self.place == "path":
            rendered["required"] = True
        if self.exploded:
            rendered |= {"style": "form", "explode": True}
        return rendered | {"schema": self.schema}


class Answer(NamedTuple):
    """What may come back."""

    description: str
    schema: type | Schema | None = None
    content_type: str = JSON
    headers: Mapping[str, Schema] = {}

    def render(self) -> Schema:
        """Return it as OpenAPI has it."""
        rendered: Schema = {"description": self.description}
        if self.headers:
            rendered["headers"] = dict(self.headers)
        if self.schema is not None:
            rendered["content"] = {self.content_type: {"schema": reference(self.schema)}}
        return rendered


class Operation(NamedTuple):
    """What one method does at one path."""

    method: Literal["get", "put", "post", "patch", "delete"]
    path: str
    name: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, type | Schema] = {}  # by content type
    scope: Scope | None = None

    def render(self) -> Schema:
        """Return it as OpenAPI has it."""
        rendered: Schema = {"operationId": self.name, "tags": [self.tag], "summary": self.summary}
        if self.scope is not None:
            rendered["security"] = [{"bearer": [self.scope.value]}, {"key": [self.scope.value]}, {}]
        if self.parameters:
            rendered["parameters"] = [parameter.render() for parameter in self.parameters]
        if self.body:
            content = {kind: {"schema": reference(schema)} for kind, schema in self.body.items()}
            rendered["requestBody"] = {"required": True, "content": content}
        limited = {429: _problem(429, "You ask more often than you may.")} if is_limited(self.path) else {}
        answers = limited | dict(self.answers)
        rendered["responses"] = {str(status): answers[status].render() for status in sorted(answers)}
        return rendered


def reference(schema: type | Schema) -> Schema:
    """Return a schema, or where a type's stands."""
    return {"$ref": f"#/components/schemas/{schema.__name__}"} if isinstance(schema, type) else schema


def problems(*statuses: int, **why: str) -> dict[int, Answer]:
    """Return answers that say why something was not done.

    Args:
        statuses: Of those of which HTTP's words say enough.
        why: Of the others, what it means here, as `status_412="…"`.
    """
    said = {int(name.removeprefix("status_")): text for name, text in why.items()}
    words = {status: f"{http.HTTPStatus(status).phrase}." for status in (*statuses, 500, 503)} | said
    return {status: _problem(status, text) for status, text in words.items()}


def _problem(status: int, text: str) -> Answer:
    return Answer(text, Problem, PROBLEM_JSON, _PROBLEM_HEADERS.get(status, {}))
