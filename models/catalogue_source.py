"""A catalogue as it stands in its file: each text with its line, each fault noted instead of raised.

Both that load a catalogue and that check one read it through here, so that they cannot disagree on what is a fault.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from models.marked_yaml import Mapping, Node, Scalar, Sequence, YamlError, read_yaml
from models.patterns import PatternSet, pattern_fault
from schemas.errors import InvalidCatalogueError

if TYPE_CHECKING:
    from pathlib import Path

MAX_TEXT_CHARACTERS = 4_096
MAX_INTENTS = 10_000
INTENT_NAME = re.compile(r"[A-Za-z0-9_.?/-]{1,128}")

_CATALOGUE_KEYS = ("name", "intents", "out_of_scope")
_INTENT_KEYS = ("name", "description", "examples", "patterns")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a catalogue's file that must (error) or should (warning) be changed."""

    line: int
    severity: Literal["error", "warning"] = "error"
    code: str
    message: str


class MarkedText(msgspec.Struct, frozen=True):
    """A text and the line it stands on."""

    text: str
    line: int


class IntentSource(msgspec.Struct, frozen=True, kw_only=True):
    """One intent as written."""

    name: MarkedText
    description: MarkedText | None
    examples: tuple[MarkedText, ...]
    patterns: tuple[MarkedText, ...]


class CatalogueSource(msgspec.Struct, frozen=True, kw_only=True):
    """What could be read of a file, and everything that stands in the way of serving it."""

    name: str = ""
    intents: tuple[IntentSource, ...] = ()
    out_of_scope: tuple[MarkedText, ...] = ()
    faults: tuple[Finding, ...] = ()


def read_source(path: Path) -> CatalogueSource:
    """Read a catalogue's file as far as it can be read; never raises for what is in it."""
    try:
        root = read_yaml(path)
    except YamlError as error:
        return CatalogueSource(faults=(Finding(line=error.line, code="unreadable", message=str(error)),))
    return _Reader().catalogue(root)


class _Reader:
    """Walks the document and collects its faults."""

    def __init__(self) -> None:
        self._faults: list[Finding] = []

    def catalogue(self, root: Node) -> CatalogueSource:
        fields = self._fields(root, "the catalogue", _CATALOGUE_KEYS)
        name = self._text(fields["name"], "the catalogue's name") if "name" in fields else None
        if fields and "name" not in fields:
            self._fault(root, "missing", "the catalogue has no `name`; add one")
        intents = self._intents(fields["intents"]) if "intents" in fields else ()
        out_of_scope = self._texts(fields.get("out_of_scope"), "`out_of_scope`")
        if "intents" in fields and len(intents) + bool(out_of_scope) < 2 and not self._faults:  # noqa: PLR2004 - or there is nothing to tell apart
            self._fault(fields["intents"], "missing", "there is nothing to tell apart; write at least two intents")
        if fields and "intents" not in fields:
            self._fault(root, "missing", "the catalogue has no `intents`; add them")
        return CatalogueSource(
            name=name.text if name else "",
            intents=intents,
            out_of_scope=out_of_scope,
            faults=tuple(sorted(self._faults, key=lambda fault: fault.line)),
        )

    def _intents(self, node: Node) -> tuple[IntentSource, ...]:
        if not isinstance(node, Sequence):
            self._fault(node, "type", "`intents` must be a list; start each intent with `- name: …`")
            return ()
        if len(node.items) > MAX_INTENTS:
            self._fault(node, "too_many", f"there are {len(node.items)} intents and may be {MAX_INTENTS}; remove some")
            return ()
        intents = tuple(intent for intent in map(self._intent, node.items) if intent)
        first_lines: dict[str, int] = {}
        for name in (intent.name for intent in intents):
            if name.text in first_lines:
                first = first_lines[name.text]
                self._fault(
                    name, "duplicate_intent", f"the intent `{name.text}` already stands on line {first}; merge the two"
                )
            first_lines.setdefault(name.text, name.line)
        self._compile_together(node, intents)
        return intents

    def _compile_together(self, node: Node, intents: tuple[IntentSource, ...]) -> None:
        if any(fault.code == "pattern" for fault in self._faults):
            return  # what cannot be compiled alone has been said
        try:
            PatternSet(pattern.text for intent in intents for pattern in intent.patterns)
        except InvalidCatalogueError as error:
            self._fault(node, "pattern", str(error))

    def _intent(self, node: Node) -> IntentSource | None:
        fields = self._fields(node, "an intent", _INTENT_KEYS)
        if not fields:
            return None
        name = self._text(fields["name"], "an intent's name") if "name" in fields else None
        if "name" not in fields:
            self._fault(node, "missing", "this intent has no `name`; add one")
        if name and not INTENT_NAME.fullmatch(name.text):
            self._fault(
                name, "name", f"{_shown(name.text)} is no intent's name; use 1 to 128 of letters, digits and _ . - ? /"
            )
        if "examples" not in fields:
            self._fault(node, "missing", "this intent has no `examples`; add what people say when they mean it")
        examples = self._texts(fields.get("examples"), "`examples`", at_least_one=True)
        patterns = self._texts(fields.get("patterns"), "`patterns`")
        for pattern in patterns:
            if fault := pattern_fault(pattern.text):
                self._fault(pattern, "pattern", fault)
        description = self._text(fields["description"], "the description") if "description" in fields else None
        return IntentSource(name=name, description=description, examples=examples, patterns=patterns) if name else None

    def _fields(self, node: Node, what: str, known: tuple[str, ...]) -> dict[str, Node]:
        """Return a mapping's values by key; empty, with a fault noted, where there are none to return."""
        if not isinstance(node, Mapping) or not node.pairs:
            self._fault(node, "type", f"{what} must have keys; write {', '.join(f'`{key}: …`' for key in known)}")
            return {}
        fields: dict[str, Node] = {}
        for key, value in node.pairs:
            text = key.text if isinstance(key, Scalar) else ""
            if text not in known:
                self._fault(key, "unknown_key", f"{_shown(text)} is no key of {what}; it may have {', '.join(known)}")
            elif text in fields:
                self._fault(key, "duplicate_key", f"`{text}` stands twice in {what}; keep one")
            else:
                fields[text] = value
        return fields

    def _texts(self, node: Node | None, what: str, *, at_least_one: bool = False) -> tuple[MarkedText, ...]:
        if node is None:
            return ()
        if not isinstance(node, Sequence):
            self._fault(node, "type", f"{what} must be a list; start each entry with `- `")
            return ()
        if at_least_one and not node.items:
            self._fault(node, "empty", f"{what} is empty; add what people say")
        texts = (self._text(item, f"an entry of {what}") for item in node.items)
        return tuple(text for text in texts if text)

    def _text(self, node: Node, what: str) -> MarkedText | None:
        if not isinstance(node, Scalar):
            self._fault(node, "type", f"{what} must be a text; put quotes around it if it holds `: `, `[` or `{{`")
            return None
        text = node.text.strip()
        if not text:
            self._fault(node, "empty", f"{what} is empty; write it or remove the line")
            return None
        if len(text) > MAX_TEXT_CHARACTERS:
            self._fault(
                node, "too_long", f"{what} has {len(text)} characters and may have {MAX_TEXT_CHARACTERS}; shorten it"
            )
            return None
        return MarkedText(text, node.line)

    def _fault(self, where: Node | MarkedText, code: str, message: str) -> None:
        self._faults.append(Finding(line=where.line, code=code, message=message))


def _shown(text: str) -> str:
    return f"`{text[:60]}…`" if len(text) > 60 else f"`{text}`"  # noqa: PLR2004 - enough to recognise it
