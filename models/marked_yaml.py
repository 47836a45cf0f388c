"""YAML whose every value knows its line, so that a fault in a file of thousands of examples can be pointed at.

We read the parser's events instead of composing nodes: then aliases, tags and deep nesting, the ways in which YAML
becomes a weapon (a few bytes that grow to gigabytes, a stack that overflows in C), are refused as they are met.
Every scalar is text as it was written: `- no` is the word, not false.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import yaml

from schemas.errors import InvalidCatalogueError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 8
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml: slower, otherwise the same


class Scalar(msgspec.Struct, frozen=True):
    """A text; empty where the file has nothing or null."""

    text: str
    line: int


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    items: tuple[Node, ...]
    line: int


class Mapping(msgspec.Struct, frozen=True):
    """Keys and values in the file's order, a key that stands twice included."""

    pairs: tuple[tuple[Node, Node], ...]
    line: int


Node = Scalar | Sequence | Mapping


class YamlError(InvalidCatalogueError):
    """A file that cannot be read as YAML.

    Attributes:
        line: Where, counted from 1.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_yaml(path: Path) -> Node:
    """Read the one document in a file.

    Raises:
        YamlError: There is no such file, or it is too large, not UTF-8, not YAML, empty, or uses what we refuse.
    """
    encoded = _read_bytes(path)
    try:
        text = encoded.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(_line_at(encoded, error.start), "this is not UTF-8; save the file as UTF-8") from error
    try:
        return _build_document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(line, f"this is not YAML: {error.problem}; check the indentation and the quotes") from error
    except yaml.reader.ReaderError as error:
        line = _line_at(text.encode(), error.position)
        raise YamlError(line, "there is a control character here; remove it") from error


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            encoded = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise YamlError(1, f"the file cannot be read: {error.strerror}; check its path") from error
    if len(encoded) > MAX_BYTES:
        raise YamlError(1, f"the file is larger than {MAX_BYTES // 2**20} MiB; split it")
    return encoded


def _line_at(encoded: bytes, position: int) -> int:
    return encoded.count(b"\n", 0, position) + 1


def _build_document(events: Iterator[yaml.Event]) -> Node:
    document: Node | None = None
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            document = _build(event, events, depth=0)
        elif isinstance(event, yaml.DocumentStartEvent) and document is not None:
            raise YamlError(_line(event), "a second document starts here; keep one in a file")
    if document is None:
        raise YamlError(1, "the file is empty; see docs/catalogue.md for what belongs in it")
    return document


def _build(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
    line = _line(event)
    if isinstance(event, yaml.AliasEvent):
        raise YamlError(line, "aliases (`*name`) are not supported; write the value out")
    if getattr(event, "tag", None) is not None:
        raise YamlError(line, "tags (`!name`) are not supported; remove it, every value is text")
    if depth > MAX_DEPTH:
        raise YamlError(line, "this is nested too deeply; see docs/catalogue.md for the format")
    if isinstance(event, yaml.ScalarEvent):
        is_null = not event.style and event.value in _NULLS
        return Scalar("" if is_null else event.value, line)
    end = yaml.SequenceEndEvent if isinstance(event, yaml.SequenceStartEvent) else yaml.MappingEndEvent
    children = [_build(child, events, depth + 1) for child in iter(lambda: _next_unless(events, end), None)]
    if end is yaml.SequenceEndEvent:
        return Sequence(tuple(children), line)
    return Mapping(tuple(zip(children[::2], children[1::2], strict=True)), line)


def _next_unless(events: Iterator[yaml.Event], end: type[yaml.Event]) -> yaml.Event | None:
    event = next(events)
    return None if isinstance(event, end) else event


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
