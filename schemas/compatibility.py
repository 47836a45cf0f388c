"""Whether events may change as they did: topics hold records of every release, and readers of the last one are running.

So both ways must work, old records for new readers and new records for old readers, and the rule is short: an event
may gain an optional field; nothing about the fields it has may change, but for what they are called to people.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_FOR_PEOPLE = {"$schema", "$id", "$defs", "title", "description", "properties", "required"}


def find_breaks(old: Schema, new: Schema) -> list[str]:
    """Return what breaks someone, one line each; nothing, if the change is safe.

    Args:
        old: An event's JSON Schema in the last release, as `schemas.json_schema` makes it.
        new: The same event's now.
    """
    return _compare(_inlined(old, old), _inlined(new, new), "$")


def _compare(old: Schema, new: Schema, path: str) -> list[str]:
    breaks = [
        f"{path}: {keyword} was {old.get(keyword)!r} and is {new.get(keyword)!r}"
        for keyword in sorted((old.keys() | new.keys()) - _FOR_PEOPLE - {"anyOf", "items", "additionalProperties"})
        if old.get(keyword) != new.get(keyword)
    ]
    breaks += _compare_fields(old, new, path)
    for keyword, step in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in old or keyword in new:
            breaks += _compare(_subschema(old, keyword), _subschema(new, keyword), path + step)
    choices, new_choices = old.get("anyOf", []), new.get("anyOf", [])
    if len(choices) != len(new_choices):
        return [*breaks, f"{path}: it could be one of {len(choices)} types and can be one of {len(new_choices)}"]
    for choice, new_choice in zip(choices, new_choices, strict=True):
        breaks += _compare(choice, new_choice, path)
    return breaks


def _compare_fields(old: Schema, new: Schema, path: str) -> list[str]:
    fields, new_fields = old.get("properties", {}), new.get("properties", {})
    required, new_required = set(old.get("required", [])), set(new.get("required", []))
    breaks = [f"{path}.{name}: the field is gone" for name in fields if name not in new_fields]
    breaks += [
        f"{path}.{name}: the field is required, and old records do not have it"
        for name in new_fields
        if name in new_required - required
    ]
    breaks += [
        f"{path}.{name}: the field may be left out, and old readers need it"
        for name in new_fields
        if name in required - new_required
    ]
    for name in fields:
        if name in new_fields:
            breaks += _compare(fields[name], new_fields[name], f"{path}.{name}")
    return breaks


def _subschema(schema: Schema, keyword: str) -> Schema:
    subschema = schema.get(keyword, {})
    return subschema if isinstance(subschema, dict) else {"const": subschema}


def _inlined(schema: Any, root: Schema) -> Any:
    """Return a schema with what its references point at in their place, so that a type may be renamed."""
    if isinstance(schema, list):
        return [_inlined(each, root) for each in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {name: _inlined(each, root) for name, each in schema.items() if name not in {"$ref", "$defs"}}
    if "$ref" in schema:
        rest = _inlined(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root) | rest
    return rest
