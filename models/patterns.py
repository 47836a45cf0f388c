"""An intent's regular expressions, in RE2: whoever writes a catalogue cannot write one that never ends.

RE2 matches in time linear in the text, whatever the pattern, and a set of patterns in one pass over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import re2

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PATTERN_CHARACTERS = 512


def _options() -> re2.Options:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False  # an error is raised; RE2 would also print it
    return options


class PatternSet:
    """Patterns searched together, anywhere in a text, without regard to case."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compile the patterns, each of which `pattern_fault` has passed."""
        self._set = re2.Set.SearchSet(_options())
        self._size = sum(1 for pattern in patterns if self._set.Add(pattern) is not None)
        if self._size:
            self._set.Compile()

    def matches(self, text: str) -> list[int]:
        """Return the positions of the patterns that match the text, ascending."""
        return sorted(self._set.Match(text)) if self._size else []


def pattern_fault(pattern: str) -> str | None:
    """Say what is wrong with a pattern and what to do, or return None where it can be used."""
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        return f"the pattern has {len(pattern)} characters and may have {MAX_PATTERN_CHARACTERS}; split it"
    try:
        compiled = re2.compile(pattern, _options())
    except re2.error as error:
        reason = error.args[0]
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        return f"the pattern is no RE2 regular expression: {reason}"
    if compiled.search(""):
        return "the pattern matches the empty text and so every text; make it match something"
    return None
