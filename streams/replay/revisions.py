"""What flags and lessons were at a revision, for any revision of a stretch of the past."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from flags.evaluation import Snapshot
from flags.history import as_of
from models.learning.lessons import Lessons
from schemas.errors import InvalidEventError
from streams.learning.lesson_log import read_lesson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from confluent_kafka import Message

    from schemas.cloudevents import OpenText
    from schemas.events import FlagChange, Lesson

_MOST_KEPT = 256
"""Revisions whose flags are kept ready: a stretch goes through them once a partition."""


class PastFlags:
    """The flags at any revision that the audit tells of.

    Args:
        history: Every change, the oldest first.
        overrides: What stands above all of them.
    """

    def __init__(self, history: Iterable[FlagChange], overrides: Mapping[str, bool]) -> None:
        self._history = list(history)
        self._overrides = overrides
        self._snapshots: dict[int, Snapshot | None] = {}
        self._last: Snapshot | None = None

    @property
    def latest(self) -> Snapshot:
        """Return what they are now."""
        return self._at(self._history[-1].revision if self._history else 0) or Snapshot(self._overrides)

    def at(self, revision: int) -> Snapshot | None:
        """Return what they were; None where the audit does not reach back to it."""
        if revision not in self._snapshots:
            if len(self._snapshots) >= _MOST_KEPT:
                self._snapshots.clear()
            self._snapshots[revision] = self._at(revision)
        return self._snapshots[revision]

    def _at(self, revision: int) -> Snapshot | None:
        past = as_of(self._history, revision)
        if past.revision != revision:
            return None
        # Made from another one: what is the same in both is not compiled again.
        self._last = Snapshot(self._overrides, past.revision, changes=past.changes, before=self._last)
        return self._last


class _Written(NamedTuple):
    """A lesson, and when it was written, Unix time."""

    key: str
    lesson: Lesson
    at: float


class PastLessons:
    """The lessons at any revision, as far as their log still has them: compaction leaves the latest of each text.

    What was forgotten since stays forgotten, also where the log still holds it. A lesson that is not there any more
    is missed only by those whom it spoke for, and their results name it.

    Args:
        records: The log's, the oldest first.
        open_text: Opens what is sealed.
    """

    def __init__(self, records: Iterable[Message], open_text: OpenText | None = None) -> None:
        written: list[_Written] = []
        forgotten: dict[str, int] = {}
        for record in records:
            try:
                key, lesson = read_lesson(record.key(), record.value(), open_text)
            except InvalidEventError:
                continue  # what is no lesson taught no worker
            if lesson is None:
                forgotten[key] = len(written)
            else:
                written.append(_Written(key, lesson, record.timestamp()[1] / 1000))
        self._written = [each for place, each in enumerate(written) if place >= forgotten.get(each.key, 0)]
        self._revisions = {each.lesson.revision for each in self._written}

    def has(self, revision: int) -> bool:
        """Return whether the lesson of this very revision can still be told."""
        return revision in self._revisions

    def revision_at(self, moment: float) -> int:
        """Return the revision that was the newest at a time, by the records' timestamps."""
        place = bisect_right(self._written, moment, key=lambda each: each.at)
        return max((each.lesson.revision for each in self._written[:place]), default=0)

    def at(self, revision: int) -> Lessons:
        """Return what people had taught by then."""
        lessons = Lessons()
        for each in self._written:
            if each.lesson.revision <= revision:
                lessons.apply(each.key, each.lesson)
        lessons.revision = revision
        return lessons
