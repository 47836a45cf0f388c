"""JSON Schema of the events, from their types, for everyone who does not write Python."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from schemas.events import EVENT_TYPES, DeadLetter

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SCHEMA_NAMES: dict[str, type[msgspec.Struct]] = {**EVENT_TYPES, "intentstream.dead-letter.v1": DeadLetter}
"""Everything that has a schema. A dead letter travels as raw bytes; its schema is of how programs are shown it."""


def event_schema(name: str) -> dict[str, Any]:
    """Return the schema of one event, complete in itself.

    Args:
        name: One of `SCHEMA_NAMES`.
    """
    event = SCHEMA_NAMES[name]
    _, definitions = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    schema = {"$schema": DIALECT, "$id": f"urn:intentstream:{name}", **_tidy(definitions.pop(event.__name__))}
    if definitions:
        schema["$defs"] = {each: _tidy(definitions[each]) for each in sorted(definitions)}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))  # as a reader of the file sees it
    return plain


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Take the indentation of docstrings out of a description."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    return schema
