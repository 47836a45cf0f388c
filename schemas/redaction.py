"""Takes out of a text what its reader need not see, by rules that the settings give, in RE2: each comes to an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import re2

from schemas.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RULES = 16
MAX_PATTERN_CHARACTERS = 200
MAX_REPLACEMENT_CHARACTERS = 40

Rules = tuple[tuple[str, str], ...]
"""Pairs of a pattern and of what stands in the place of each of its matches."""

DEFAULT_RULES: Rules = (
    (r"[^\s@<>]{1,64}@[^\s@<>]{1,255}", "[email]"),
    (r"\p{Nd}([ ().\-/]{0,2}\p{Nd}){5,}", "[number]"),
)
"""E-mail addresses, and digits as telephone, card and account numbers have: six and more, however they are grouped."""


def rule_faults(rules: Sequence[tuple[str, str]]) -> list[str]:
    """Return what is wrong with some rules, a sentence each; never the rules themselves."""
    faults = [f"More than {MAX_RULES} rules"] if len(rules) > MAX_RULES else []
    for number, (pattern, replacement) in enumerate(rules, start=1):
        if len(pattern) > MAX_PATTERN_CHARACTERS or len(replacement) > MAX_REPLACEMENT_CHARACTERS:
            faults.append(
                f"Rule {number}: a pattern has {MAX_PATTERN_CHARACTERS} characters at most, "
                f"a replacement {MAX_REPLACEMENT_CHARACTERS}"
            )
            continue
        try:
            compiled = re2.compile(pattern, _options())
        except re2.error:
            faults.append(f"Rule {number}: the pattern is no RE2 regular expression")
            continue
        if compiled.search(""):
            faults.append(f"Rule {number}: the pattern matches the empty text")
    return faults


class Redactor:
    """Applies rules, each to what the ones before it left. Safe to share between threads.

    Args:
        rules: As the settings give them.

    Raises:
        InvalidSettingsError: One of them cannot be used.
    """

    def __init__(self, rules: Sequence[tuple[str, str]]) -> None:
        if faults := rule_faults(rules):
            raise InvalidSettingsError(". ".join(faults) + ".")
        self._rules = [(re2.compile(pattern, _options()), replacement) for pattern, replacement in rules]

    def redact(self, text: str) -> str:
        """Return a text without what the rules take out."""
        for pattern, replacement in self._rules:
            text = pattern.sub(lambda _, literal=replacement: literal, text)
        return text


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # an error is raised; RE2 would also print it
    return options
