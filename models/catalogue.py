"""The intents a deployment knows: the one thing its owner writes, and what every tier is made from."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import msgspec

from models.catalogue_source import CatalogueSource, read_source
from schemas.errors import InvalidCatalogueError


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """Something a user may want, told by what it is and by how people say it.

    Attributes:
        name: What results call it.
        description: One sentence, which the zero-shot tier reads.
        examples: What people say when they mean it.
        patterns: RE2 regular expressions, searched anywhere in a text without regard to case (`models.patterns`).
    """

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


class Catalogue(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All intents, in the order of the tiers' columns, and texts that belong to none of them."""

    name: str
    intents: tuple[Intent, ...]
    out_of_scope: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Return the intents' names, in order."""
        return tuple(intent.name for intent in self.intents)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256, in hex, of all that an answer depends on; so not of the catalogue's own name."""
        return hashlib.sha256(msgspec.json.encode([self.intents, self.out_of_scope])).hexdigest()


def load_catalogue(path: Path) -> Catalogue:
    """Read a catalogue from its YAML file.

    Raises:
        InvalidCatalogueError: Every fault of the file at once, each as `FILE:LINE: what is wrong; what to do`.
    """
    source = read_source(path)
    if source.faults:
        raise InvalidCatalogueError("\n".join(f"{path}:{fault.line}: {fault.message}" for fault in source.faults))
    return _catalogue(source)


def default_catalogue_path() -> Path:
    """Return where the catalogue lies that we ship."""
    return Path(__file__).with_name("default_catalogue.yaml")


def _catalogue(source: CatalogueSource) -> Catalogue:
    return Catalogue(
        name=source.name,
        intents=tuple(
            Intent(
                name=intent.name.text,
                description=intent.description.text if intent.description else "",
                examples=tuple(example.text for example in intent.examples),
                patterns=tuple(pattern.text for pattern in intent.patterns),
            )
            for intent in source.intents
        ),
        out_of_scope=tuple(text.text for text in source.out_of_scope),
    )
