"""What a flag is for a user, answered from an immutable snapshot, so that a batch sees one state from start to end."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from flags.compiling import OFF, ON, ErrorCode, Evaluation, Origin, Reason, compile_flag, constant
from flags.definitions import DEFINITIONS
from schemas.errors import UnknownFlagError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flags.compiling import Decider
    from flags.conditions import Attributes, Predicate
    from schemas.events import FlagChange, Utterance

_NOTHING: Mapping[str, Any] = MappingProxyType({})

_ODD_CONTEXT = (TypeError, ValueError, AttributeError)
"""What a user that is no text, or attributes that are no mapping, raise where they are looked at."""

_MISSING_DETAIL = "there is no such flag"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks.

    Attributes:
        user_id: Decides percentages; OpenFeature's targeting key.
        attributes: Whatever else rules may ask for, `conversation_id` and `locale` among them.
    """

    user_id: str | None = None
    attributes: Mapping[str, Any] = msgspec.field(default_factory=dict)


def utterance_attributes(utterance: Utterance) -> Attributes:
    """Return what rules may ask of an utterance besides its user; its own fields stand above its attributes."""
    return {
        **utterance.attributes,
        "conversation_id": utterance.conversation_id,
        "locale": utterance.locale,
    }


class Snapshot:
    """The state of every flag at one revision, made ready to be asked.

    Precedence: the environment, then the changes, then the defaults.

    Args:
        overrides: What the environment says.
        revision: Of the last change it knows; 0 is the defaults.
        changes: The latest state of each flag that was ever changed, by name.
        origin: Where the changes were read: from the changelog, or from the snapshot on disk.

    Raises:
        UnknownFlagError: An override is of no flag.

    Attributes:
        revision: Of the last change it knows.
        changes: As they were given.
        asked_attributes: What rules ask of an utterance besides its user: those who agree in these, and in their user,
            get the same answers.
        compared: The flags whose users are being compared, be it that they climb by themselves or that their variants
            are arms.
        warnings: What contradicts itself and how it is settled, a sentence each.
    """

    __slots__ = ("_deciders", "asked_attributes", "changes", "compared", "revision", "warnings")

    def __init__(
        self,
        overrides: Mapping[str, bool] | None = None,
        revision: int = 0,
        *,
        changes: Mapping[str, FlagChange] = _NOTHING,
        origin: Origin = Origin.CHANGELOG,
    ) -> None:
        known = {flag.name for flag in DEFINITIONS}
        for name in overrides or {}:
            if name not in known:
                raise _unknown(name, sorted(known))
        self.revision = revision
        self.changes: Mapping[str, FlagChange] = MappingProxyType(dict(changes))
        self._deciders = _Compilation(overrides or {}, self.changes, origin).deciders()
        self.asked_attributes = _asked_attributes(self.changes)
        self.compared = tuple(sorted(name for name, change in self.changes.items() if _is_compared(change)))
        self.warnings = _contradictions(overrides or {}, self.changes)

    @property
    def names(self) -> tuple[str, ...]:
        """Return every flag's name, ours first."""
        return tuple(self._deciders)

    @property
    def states(self) -> Mapping[str, bool]:
        """Return whether each flag is on for someone of whom nothing is known, by name."""
        return MappingProxyType({name: self.enabled(name) for name in self._deciders})

    @property
    def digest(self) -> str:
        """Return a hash of the changes; equal states have equal ones, in whichever order they came."""
        return digest(self.changes)

    def enabled(self, name: str, user_id: str | None = None, attributes: Attributes = _NOTHING) -> bool:
        """Say whether a flag is on for a user; one whose value is no boolean never is.

        Raises:
            UnknownFlagError: There is no such flag. Nothing else is raised.
        """
        try:
            decide = self._deciders[name]
        except KeyError:
            raise _unknown(name, self._deciders) from None
        try:
            return decide(user_id, attributes).value is True
        except _ODD_CONTEXT:  # whoever is no text is nobody's user; `evaluate` says so
            return False

    def evaluate(self, name: str, context: Context, default: Any = None) -> Evaluation:
        """Return a flag's value for someone, and why. Never raises.

        Args:
            name: Of the flag.
            context: Who asks.
            default: The value where the flag does not exist or the question cannot be understood.
        """
        decide = self._deciders.get(name)
        if decide is None:
            return _failed(default, ErrorCode.FLAG_NOT_FOUND, _MISSING_DETAIL)
        try:
            return decide(context.user_id, context.attributes)
        except Exception as error:  # noqa: BLE001 - evaluation's guard: what a caller's odd context raises is told to it
            return _failed(default, ErrorCode.INVALID_CONTEXT, f"the context cannot be read: {type(error).__name__}")


def digest(changes: Mapping[str, FlagChange]) -> str:
    """Return a hash of states, by name; equal states have equal ones."""
    return hashlib.sha256(msgspec.json.encode([changes[name] for name in sorted(changes)])).hexdigest()


class _Compilation:
    """Compiles flags in the order in which they need each other; what needs itself counts as not there."""

    def __init__(self, overrides: Mapping[str, bool], changes: Mapping[str, FlagChange], origin: Origin) -> None:
        self._changes = {name: change for name, change in changes.items() if not change.deleted}
        self._origin = origin
        self._ready: dict[str, Decider | None] = {
            flag.name: constant(_plain(flag.default, Origin.DEFAULT, "nobody has changed it"))
            for flag in DEFINITIONS
            if flag.name not in self._changes
        }
        for name, state in overrides.items():
            self._ready[name] = constant(_plain(state, Origin.ENVIRONMENT, "the environment says so"))

    def deciders(self) -> dict[str, Decider]:
        """Return every flag's decider, without the segments'."""
        added = sorted(name for name, change in self._changes.items() if change.kind == "flag")
        names = dict.fromkeys([*(flag.name for flag in DEFINITIONS), *added])
        return {name: decide for name in names if (decide := self._decider(name)) is not None}

    def _decider(self, name: str) -> Decider | None:
        if name in self._ready or name not in self._changes:
            return self._ready.get(name)
        self._ready[name] = None  # for those it needs that need it
        self._ready[name] = compile_flag(
            self._changes[name], self._origin, deciders=self._decider, segments=self._segment
        )
        return self._ready[name]

    def _segment(self, name: str) -> Predicate:
        decide = self._decider(name)
        if decide is None:
            return lambda _user_id, _attributes: False
        return lambda user_id, attributes: decide(user_id, attributes).value is True


def _asked_attributes(changes: Mapping[str, FlagChange]) -> tuple[str, ...]:
    conditions = (each for change in changes.values() for rule in change.rules for each in rule.conditions)
    return tuple(sorted({each.attribute for each in conditions} - {"", "user_id"}))


def _is_compared(change: FlagChange) -> bool:
    climbs = change.rollout is not None and change.rollout.state in {"running", "paused"}
    return not change.deleted and (climbs or (change.experiment is not None and change.experiment.state == "running"))


def _contradictions(overrides: Mapping[str, bool], changes: Mapping[str, FlagChange]) -> tuple[str, ...]:
    def may_be_on(name: str) -> bool:
        change = changes.get(name)
        return overrides.get(name, change is not None and change.enabled and not change.killed and not change.deleted)

    if may_be_on("performance_mode") and may_be_on("quality_mode"):
        return ("performance_mode and quality_mode may both be on: for whom both are, quality_mode wins.",)
    return ()


def _plain(state: bool, origin: Origin, detail: str) -> Evaluation:  # noqa: FBT001 - it is the value
    reason = Reason.DEFAULT if origin is Origin.DEFAULT else Reason.STATIC
    return Evaluation(value=state, variant=ON if state else OFF, reason=reason, version=0, origin=origin, detail=detail)


def _failed(default: Any, code: ErrorCode, detail: str) -> Evaluation:
    return Evaluation(
        value=default,
        variant=None,
        reason=Reason.ERROR,
        version=0,
        error_code=code,
        origin=Origin.DEFAULT,
        detail=detail,
    )


def _unknown(name: str, names: Mapping[str, Any] | list[str]) -> UnknownFlagError:
    return UnknownFlagError(f"There is no flag {name!r}; there are {', '.join(names)}.")
