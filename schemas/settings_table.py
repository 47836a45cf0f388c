"""The settings as a table: for `intentstream settings`, with what is set, and for the documentation."""

from __future__ import annotations

import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import msgspec
from annotated_types import Ge, Gt, Le
from pydantic import SecretStr

from schemas.settings import Settings, setting_fields, variable_name

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", SecretStr: "secret"}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤"}


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, for a person.

    Attributes:
        name: Its path in the file, with dots.
        variable: Its environment variable.
        kind: What it may be.
        default: What it is if nothing is said; empty: nothing.
        value: What it is; a secret is stars.
        description: What it means.
    """

    name: str
    variable: str
    kind: str
    default: str
    value: str
    description: str


def describe_settings(settings: Settings) -> list[SettingRow]:
    """Return every setting with what it is now, in the tree's order; secrets are masked."""
    return [
        SettingRow(
            name=".".join(path),
            variable=variable_name(path),
            kind=_kind(field),
            default=_default(field),
            value=_shown(_value(settings, path)),
            description=field.description or "",
        )
        for path, field in setting_fields(Settings)
    ]


def _value(settings: BaseModel, path: tuple[str, ...]) -> object:
    value: object = settings
    for name in path:
        value = getattr(value, name)
    return value


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return msgspec.json.encode(value).decode()  # as it may be set
    return "" if value is None or value == {} else str(value)  # a SecretStr's own text is stars


def _default(field: FieldInfo) -> str:
    return "computed" if field.default_factory is not None else _shown(field.default)


def _kind(field: FieldInfo) -> str:
    """Return a type and its limits in words, such as `number, > 0, ≤ 10`."""
    limits = [f"{_SIGNS[name]} {getattr(each, name):,}" for each in field.metadata for name in _limit_names(each)]
    return ", ".join([_type_name(field.annotation), *limits])


def _limit_names(limit: object) -> list[str]:
    return [name for kind, name in ((Ge, "ge"), (Gt, "gt"), (Le, "le")) if isinstance(limit, kind)]


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    if get_origin(annotation) in {types.UnionType, Union}:
        return " or ".join(_type_name(kind) for kind in get_args(annotation) if kind is not types.NoneType)
    if get_origin(annotation) is dict:
        return "table"
    if get_origin(annotation) is tuple:
        return "list"
    return _KINDS[annotation]
