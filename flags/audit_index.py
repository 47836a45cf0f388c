"""Where in the audit each flag's changes stand, so that one flag's history is read without reading everybody's.

Some sixteen bytes a change are kept, and no change itself. The audit is read once, and from then on what is new.
"""

from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING, NamedTuple

from flags.changelog import InvalidRecordError, flag_name, read_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from flags.log_reader import LogReader
    from schemas.events import FlagChange

_WORTH_A_SEEK = 2_000
"""Records; what is closer to each other is read in one go, with what lies between."""


class AuditIndex:
    """The audit, by flag. Blocking; any thread may ask, and they wait for each other.

    Args:
        new_reader: Opens the audit, for the length of one question.
    """

    def __init__(self, new_reader: Callable[[], AbstractContextManager[LogReader]]) -> None:
        self._new_reader = new_reader
        self._turn = threading.Lock()
        self._places: dict[str, _Places] = {}
        self._end = 0

    def changes_of(self, name: str, *, before: int | None, most: int) -> list[FlagChange] | None:
        """Return a flag's changes, the newest first; None if there never was such a flag.

        Args:
            name: Of the flag.
            before: Only changes of smaller revisions; None: all.
            most: How many.

        Raises:
            UnavailableError: The broker went away before that.
        """
        with self._turn, self._new_reader() as reader:
            low = self._read_on(reader)
            places = self._places.get(name)
            if places is None:
                return None
            offsets = [offset for offset in places.newest(before, most) if offset >= low]
            return [change for run in _runs(offsets) for change in _read(reader, name, run)][::-1]

    def _read_on(self, reader: LogReader) -> int:
        """Note what was added since; return the first offset there is."""
        low, end = reader.bounds()
        if end < self._end:  # the topic was made anew
            self._places, self._end = {}, 0
        for offset, key, value in reader.read(max(low, self._end), end):
            self._end = offset + 1
            try:
                change = read_change(flag_name(key), value)
            except InvalidRecordError:
                continue  # nothing of ours, and nobody follows the audit
            self._places.setdefault(change.name, _Places(array("q"), array("q"))).add(change.revision, offset)
        self._end = max(self._end, end)
        return low


class _Places(NamedTuple):
    """Revisions of one flag and the offsets at which they stand, the oldest first."""

    revisions: array[int]
    offsets: array[int]

    def add(self, revision: int, offset: int) -> None:
        self.revisions.append(revision)
        self.offsets.append(offset)

    def newest(self, before: int | None, most: int) -> list[int]:
        """Return the offsets of the newest, the oldest of them first."""
        pairs = zip(self.revisions, self.offsets, strict=True)
        return [offset for revision, offset in pairs if before is None or revision < before][-most:]


def _runs(offsets: Sequence[int]) -> Iterator[list[int]]:
    """Yield offsets that are worth reading in one go."""
    run: list[int] = []
    for offset in offsets:
        if run and offset - run[-1] > _WORTH_A_SEEK:
            yield run
            run = []
        run.append(offset)
    if run:
        yield run


def _read(reader: LogReader, name: str, offsets: Sequence[int]) -> list[FlagChange]:
    """Read the changes at some offsets, in ascending order."""
    changes, wanted = [], set(offsets)
    for offset, _, value in reader.read(offsets[0], offsets[-1] + 1):
        if offset in wanted:
            changes.append(read_change(name, value))
        if offset >= offsets[-1]:
            break
    return changes
