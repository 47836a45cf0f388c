"""What flags were and when, read from the audit: compaction takes nothing from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flags.changelog import InvalidRecordError, flag_name, read_change
from schemas.events import FlagChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flags.log_reader import LogReader, Record

_FIELDS_OF_A_RECORD = {"name", "revision", "changed_by", "changed_at", "reason"}


def read_history(reader: LogReader) -> Iterator[FlagChange]:
    """Yield every change that stands in the audit, oldest first.

    Raises:
        UnavailableError: The broker went away before that.
    """
    return changes_in(reader.read(*reader.bounds()))


def changes_in(records: Iterable[Record]) -> Iterator[FlagChange]:
    """Yield the records that are changes; others are no history."""
    for _, key, value in records:
        try:
            yield read_change(flag_name(key), value)
        except InvalidRecordError:
            continue


def state_at(history: Iterable[FlagChange], revision: int) -> dict[str, FlagChange]:
    """Return the latest state of each flag as of a revision, by name."""
    return {change.name: change for change in history if change.revision <= revision}


def differences(one: FlagChange | None, other: FlagChange | None) -> dict[str, tuple[object, object]]:
    """Return the fields in which two states differ, and both values; who, when and why are not compared."""
    fields = [field for field in FlagChange.__struct_fields__ if field not in _FIELDS_OF_A_RECORD]
    pairs = {field: (getattr(one, field, None), getattr(other, field, None)) for field in fields}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}
