"""Acts on flags: what somebody does to a flag as it is at the end of the log, and says why."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Protocol

import msgspec

from flags.edits import flag_state
from schemas.errors import UnknownFlagError

if TYPE_CHECKING:
    from flags.changelog import Fold
    from flags.edits import Edit
    from schemas.events import FlagChange


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """Who does it, why, and when (RFC 3339, UTC)."""

    changed_by: str
    reason: str
    now: str


class Log(Protocol):
    """What reads and writes flags, as `flags.writer.Writer` does."""

    def read(self) -> Fold:
        """Return the changelog, folded to its end."""

    def write(self, edit: Edit) -> FlagChange:
        """Make one change."""


def acting_now(changed_by: str, reason: str) -> Author:
    """Return somebody who acts now."""
    return Author(changed_by=changed_by, reason=reason, now=rfc3339(dt.datetime.now(dt.UTC)))


def rfc3339(moment: dt.datetime) -> str:
    """Return a time in UTC as the log has it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def latest(log: Log, name: str) -> FlagChange | None:
    """Return what a flag is at the end of the log; None if there is no such flag. Blocking.

    Raises:
        UnavailableError: The broker is away.
    """
    return flag_state(name, log.read().changes)


def existing(name: str, flag: FlagChange | None) -> FlagChange:
    """Return a flag that must be there.

    Raises:
        UnknownFlagError: It is not.
    """
    if flag is None:
        raise UnknownFlagError(f"There is no flag {name[:64]!r}; `intentstream flags list` shows those there are.")
    return flag
