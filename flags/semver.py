"""Semantic versions (semver.org, 2.0.0), ordered as their specification says, so that rules can ask for ranges."""

from __future__ import annotations

import re

_NUMBER = r"(?:0|[1-9]\d{0,14})"
_IDENTIFIER = rf"(?:{_NUMBER}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SHAPE = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII
)
_MAX_CHARACTERS = 256

Version = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]
"""Major, minor, patch, whether it is a release, and a pre-release's identifiers; compares as versions do."""


def parse_version(text: str) -> Version | None:
    """Return a version, or None if the text is none. What follows a `+` does not count, as the specification says."""
    shape = _SHAPE.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if shape is None:
        return None
    major, minor, patch, prerelease = shape.groups()
    identifiers = prerelease.split(".") if prerelease else []
    ranks = tuple((False, int(each), "") if each.isdecimal() else (True, 0, each) for each in identifiers)
    return int(major), int(minor), int(patch), not ranks, ranks
