"""An intent's regular expressions, in RE2: whoever writes a catalogue cannot write one that never ends.

RE2 matches in time linear in the text, whatever the pattern, and a set of patterns in one pass over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import re2

from schemas.errors import InvalidCatalogueError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PATTERN_CHARACTERS = 512
_MAX_BYTES = 256 * 2**20  # a limit, not a reservation: 3,000 patterns with bounded gaps took 155 MB


def _options() -> re2.Options:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False  # an error is raised; RE2 would also print it
    options.max_mem = _MAX_BYTES
    return options


class PatternSet:
    """Patterns searched together, anywhere in a text, without regard to case. Safe to share between threads."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compile the patterns, each of which `pattern_fault` has passed.

        Raises:
            InvalidCatalogueError: Together they need too much memory.
        """
        self._set = re2.Set.SearchSet(_options())
        self._size = sum(1 for pattern in patterns if self._set.Add(pattern) is not None)
        if not self._size:
            return
        try:
            self._set.Compile()
        except re2.error as error:
            raise InvalidCatalogueError(
                f"the patterns together need more than {_MAX_BYTES // 2**20} MiB; remove some or shorten their repeats"
            ) from error

    def matches(self, text: str) -> list[int]:
        """Return the positions of the patterns that match the text, ascending."""
        return sorted(self._set.Match(text) or ()) if self._size else []  # None where nothing matches


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
