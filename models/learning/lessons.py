"""The lessons as their log tells them: the latest state of each text, and nothing that the log does not say."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.events import Lesson

_KEY_BYTES = 16


def lesson_key(text: str) -> str:
    """Return the key of a normalised text's lesson, in hex: a hash, so that keys give no text away."""
    return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).hexdigest()


class Lessons:
    """All lessons, the one changed longest ago first.

    Attributes:
        revision: Of the newest one there ever was.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._by_key: dict[str, Lesson] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def by_key(self) -> Mapping[str, Lesson]:
        """Return them by key; changes as they do."""
        return MappingProxyType(self._by_key)

    def apply(self, key: str, lesson: Lesson | None) -> None:
        """Take a record of the log; None: the text was forgotten."""
        self._by_key.pop(key, None)
        if lesson is not None:
            self.revision = max(self.revision, lesson.revision)
            self._by_key[key] = lesson

    def accepted(self) -> dict[str, Lesson]:
        """Return those that decide, by their text."""
        return {lesson.text: lesson for lesson in self._by_key.values() if lesson.accepted}
