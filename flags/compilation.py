"""Compiles all flags of one state; what is the same as in the state before is taken over, not compiled again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from flags.compiling import OFF, ON, Evaluation, Origin, Reason, compile_flag, constant
from flags.definitions import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flags.compiling import Decider
    from flags.conditions import Predicate
    from schemas.events import FlagChange


class _Compiled(NamedTuple):
    """A flag's decider, and what it was made of: as long as that is the same, so is the decider."""

    decide: Decider
    change: FlagChange
    needs: tuple[tuple[str, Decider | None], ...]


class Compilation:
    """Compiles flags in the order in which they need each other; what needs itself counts as not there.

    Args:
        overrides: What the environment says.
        changes: The latest state of each flag.
        origin: Where they were read.
        before: Another state's; shared where it can be.

    Attributes:
        overrides: As they were given.
        origin: As it was given.
        compiled: What was made of each change that counts, segments included.
        deciders: Every flag's, without the segments'.
    """

    def __init__(
        self,
        overrides: Mapping[str, bool],
        changes: Mapping[str, FlagChange],
        origin: Origin,
        before: Compilation | None = None,
    ) -> None:
        self.overrides, self.origin = overrides, origin
        self._changes = {name: change for name, change in changes.items() if not change.deleted}
        self.compiled: dict[str, _Compiled] = {}
        self._ready: dict[str, Decider | None] = {
            name: decide for name, decide in DEFAULTS.items() if name not in self._changes
        }
        for name, state in overrides.items():
            if self._is_plain(name):
                self._ready[name] = _OVERRIDDEN[state]
        alike = before is not None and (before.origin, before.overrides) == (origin, overrides)
        self.deciders = self._decide_all(before.compiled if before is not None and alike else {})

    def _is_plain(self, name: str) -> bool:
        """Return whether there is such a flag, and it is only on or off."""
        change = self._changes.get(name)
        return name in DEFAULTS or (change is not None and change.kind == "flag" and not change.variants)

    def _decide_all(self, known: Mapping[str, _Compiled]) -> dict[str, Decider]:
        added = sorted(name for name, change in self._changes.items() if change.kind == "flag")
        names = dict.fromkeys([*DEFAULTS, *added])
        return {name: decide for name in names if (decide := self._decider(name, known)) is not None}

    def _decider(self, name: str, known: Mapping[str, _Compiled]) -> Decider | None:
        if name in self._ready or name not in self._changes:
            return self._ready.get(name)
        self._ready[name] = None  # for those it needs that need it
        compiled = known.get(name)
        if compiled is None or not self._still_holds(name, compiled, known):
            compiled = self._compile(name, known)
        self.compiled[name] = compiled
        self._ready[name] = compiled.decide
        return compiled.decide

    def _still_holds(self, name: str, compiled: _Compiled, known: Mapping[str, _Compiled]) -> bool:
        return compiled.change is self._changes[name] and all(
            self._decider(needed, known) is decide for needed, decide in compiled.needs
        )

    def _compile(self, name: str, known: Mapping[str, _Compiled]) -> _Compiled:
        needs: dict[str, Decider | None] = {}

        def decider(needed: str) -> Decider | None:
            return needs.setdefault(needed, self._decider(needed, known))

        def segment(needed: str) -> Predicate:
            decide = decider(needed)
            if decide is None:
                return lambda _user_id, _attributes: False
            return lambda user_id, attributes: decide(user_id, attributes).value is True

        change = self._changes[name]
        state = self.overrides.get(name) if change.kind == "flag" else None
        decide = (
            compile_flag(change, self.origin, deciders=decider, segments=segment)
            if state is None
            else compile_flag(_overridden(change, state), Origin.ENVIRONMENT, deciders=decider, segments=segment)
        )
        return _Compiled(decide, change, tuple(needs.items()))


def _overridden(change: FlagChange, state: bool) -> FlagChange:  # noqa: FBT001 - it is the value
    """Return a flag of variants as the environment has it: off for everyone, or by its variants' weights alone."""
    return msgspec.structs.replace(
        change, enabled=state, killed=False, rules=(), prerequisites=(), rollout_percentage=100.0
    )


def _plain(state: bool, origin: Origin, detail: str) -> Evaluation:  # noqa: FBT001 - it is the value
    reason = Reason.DEFAULT if origin is Origin.DEFAULT else Reason.STATIC
    return Evaluation(value=state, variant=ON if state else OFF, reason=reason, version=0, origin=origin, detail=detail)


DEFAULTS: Mapping[str, Decider] = {
    flag.name: constant(_plain(flag.default, Origin.DEFAULT, "nobody has changed it")) for flag in DEFINITIONS
}
"""Of our own flags, as long as nobody has changed them."""

_OVERRIDDEN: Mapping[bool, Decider] = {
    state: constant(_plain(state, Origin.ENVIRONMENT, "the environment says so")) for state in (True, False)
}
