"""What a flag is for a user, answered from an immutable snapshot, so that a batch sees one state from start to end."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from flags.definitions import DEFINITIONS
from schemas.errors import UnknownFlagError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Snapshot:
    """The state of every flag at one revision.

    Attributes:
        revision: Of the last change it knows; 0 is the defaults.
        states: Every flag, on or off.
    """

    __slots__ = ("_states", "revision")

    def __init__(self, overrides: Mapping[str, bool] | None = None, revision: int = 0) -> None:
        """Take the defaults and what stands above them.

        Raises:
            UnknownFlagError: An override is of no flag.
        """
        states = {flag.name: flag.default for flag in DEFINITIONS}
        for name in overrides or {}:
            if name not in states:
                raise _unknown(name)
        self._states = states | dict(overrides or {})
        self.revision = revision

    @property
    def states(self) -> Mapping[str, bool]:
        """Return every flag's state, by name."""
        return MappingProxyType(self._states)

    def enabled(self, name: str, user_id: str | None = None) -> bool:  # noqa: ARG002 - no flag differs by user so far
        """Say whether a flag is on for a user.

        Raises:
            UnknownFlagError: There is no such flag.
        """
        try:
            return self._states[name]
        except KeyError:
            raise _unknown(name) from None


def _unknown(name: str) -> UnknownFlagError:
    names = ", ".join(flag.name for flag in DEFINITIONS)
    return UnknownFlagError(f"There is no flag {name!r}; there are {names}.")
