"""What flags were and when, read from the audit: compaction takes nothing from it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

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


class Past(NamedTuple):
    """What flags were at a moment.

    Attributes:
        revision: Of the last change until then.
        changes: The latest state of each flag, by name.
    """

    revision: int
    changes: dict[str, FlagChange]


def as_of(history: Iterable[FlagChange], moment: int | dt.datetime) -> Past:
    """Return what flags were at a revision, or at a time.

    At a time, all changes count up to the last that was made by then: clocks of writers differ, and revisions do not.

    Args:
        history: The oldest first.
        moment: A revision, or a time with its zone.
    """
    state: dict[str, FlagChange] = {}
    later: list[FlagChange] = []
    revision = 0
    for change in history:
        later.append(change)
        if _was_made_by(change, moment):
            state |= {each.name: each for each in later}
            revision = change.revision
            later.clear()
    return Past(revision, state)


def _was_made_by(change: FlagChange, moment: int | dt.datetime) -> bool:
    if isinstance(moment, int):
        return change.revision <= moment
    try:
        return dt.datetime.fromisoformat(change.changed_at) <= moment
    except (ValueError, TypeError):  # a time that somebody made up by hand says nothing about when
        return False


def differences(one: FlagChange | None, other: FlagChange | None) -> dict[str, tuple[object, object]]:
    """Return the fields in which two states differ, and both values; who, when and why are not compared."""
    fields = [field for field in FlagChange.__struct_fields__ if field not in _FIELDS_OF_A_RECORD]
    pairs = {field: (getattr(one, field, None), getattr(other, field, None)) for field in fields}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}
