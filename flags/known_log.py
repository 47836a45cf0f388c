"""What a writer knows of the changelog: as far as it was read, and what of that nobody has buried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flags.changelog import flag_name, read_change
from flags.refusals import RecordFold, bytes_of, read_to

if TYPE_CHECKING:
    from confluent_kafka import Message

    from flags.changelog import Fold
    from flags.refusals import RefusedRecord
    from schemas.events import FlagChange

MARKER = 1
"""Offsets: the record that ends a transaction takes one, too."""


class KnownLog:
    """The changelog, folded, for one that writes to it.

    Attributes:
        start: The first offset not folded.
        end: Where the log ended, markers of transactions included.
        owed: Where it must have got at least before it is read: behind what we wrote ourselves and could not fold.
        audited: The audit's newest revision when we began to read; None: not read yet.
    """

    def __init__(self, topic: str) -> None:
        self._folding = RecordFold(topic)
        self._refused: dict[bytes | None, list[RefusedRecord]] = {}
        self.start = 0
        self.end = 0
        self.owed = 0
        self.audited: int | None = None

    @property
    def fold(self) -> Fold:
        """Return what the records amount to."""
        return self._folding.fold

    @property
    def next_revision(self) -> int:
        """Return one more than any revision there ever was."""
        return 1 + max(self.fold.revision, self.audited or 0)

    def add(self, record: Message) -> FlagChange | None:
        """Fold a record; return its change if it is one."""
        self.start = self.end = (record.offset() or 0) + 1
        refused = self._folding.add(record)
        if refused is not None:
            self._refused.setdefault(refused.key, []).append(refused)
            return None
        key, value = bytes_of(record.key()), bytes_of(record.value())
        change = None if value is None else read_change(flag_name(key), value)
        if key in self._refused:
            self._folding.advance()
            if change is None or self.fold.changes.get(change.name) == change:
                self._buried(key, read_to(record))  # by whoever wrote this
        return change

    def settle(self, end: int) -> None:
        """Take over what makes sense; what stands before `end` has been read."""
        self.start = self.end = max(self.start, end)
        for refused in self._folding.settle():
            self._refused.setdefault(refused.key, []).append(refused)
        unmended = {name.encode() for name in self.fold.damaged} | self.fold.strays
        self._refused = {key: records for key, records in self._refused.items() if key in unmended}

    def refused_of(self, key: bytes) -> list[RefusedRecord]:
        """Return the records of a key that do not count, and that nobody buried: no writer after them had read them."""
        return list(self._refused.get(key, ()))

    def _buried(self, key: bytes | None, before: int) -> None:
        """Forget what is known to be buried: what stands before an offset."""
        left = [refused for refused in self._refused.pop(key) if refused.refusal.offset >= before]
        if left:
            self._refused[key] = left

    def written(self, offset: int, key: bytes, value: bytes) -> None:
        """Fold our own record, so that it need not be read; if somebody wrote before it, all that has to be."""
        if offset <= self.end:
            self.fold.apply(key, value, offset)
            self.fold.settle()
            self._refused.pop(key, None)
            self.start, self.end = offset + 1, offset + 1 + MARKER
        else:
            self.owed = offset + 1
