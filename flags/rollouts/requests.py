"""What people ask for, on the command line or over HTTP: a plan, read field by field, and acts on what the log says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, get_type_hints

import msgspec

from flags.edits import flag_state
from flags.rollouts.acts import Plan, abort, climb, pause, resume
from schemas.errors import UnknownFlagError
from schemas.events import Rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flags.changelog import Fold
    from flags.edits import Edit
    from flags.rollouts.acts import Author
    from schemas.events import FlagChange

ACTS: Mapping[str, Callable[[FlagChange, Author], Edit]] = {
    "pause": pause,
    "resume": resume,
    "skip": climb,
    "abort": abort,
}
"""What can be done with a rollout under way, by the word for it."""

PLANNED = Plan.__struct_fields__
"""The fields of a plan."""

_TYPES = get_type_hints(Rollout, include_extras=True)


class Log(Protocol):
    """What reads and writes flags, as `flags.writer.Writer` does."""

    def read(self) -> Fold:
        """Return the changelog, folded to its end."""

    def write(self, edit: Edit) -> FlagChange:
        """Make one change."""


def read_plan(said: Mapping[str, Any]) -> tuple[Plan, list[str]]:
    """Return a plan and what is wrong with how it was said; what was left out, or is wrong, is the default.

    Args:
        said: Fields of a plan, as JSON has them, and no others.
    """
    fields, faults = {}, []
    for name, value in said.items():
        try:
            fields[name] = msgspec.convert(value, _TYPES[name])
        except msgspec.ValidationError as error:
            faults.append(f"{name}: {error}")
    return Plan(**fields), faults


def perform(log: Log, name: str, edit_of: Callable[[FlagChange], Edit]) -> FlagChange:
    """Make an edit of what a flag is at the end of the log; return the flag as it is then. Blocking.

    Raises:
        UnknownFlagError: There is no such flag.
        IntentStreamError: Whatever `edit_of` and `flags.writer.Writer.write` raise.
    """
    state = flag_state(name, log.read().changes)
    if state is None:
        raise UnknownFlagError(f"There is no flag {name[:64]!r}; `intentstream flags list` shows those there are.")
    return log.write(edit_of(state))
