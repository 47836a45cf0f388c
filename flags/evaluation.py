"""What a flag is for a user, answered from an immutable snapshot, so that a batch sees one state from start to end."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from flags.compilation import Compilation
from flags.compiling import ErrorCode, Evaluation, Origin, Reason
from flags.environment import describe_unknown
from schemas.errors import UnknownFlagError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flags.conditions import Attributes
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
        overrides: What the environment says; of flags that there are not, it says nothing.
        revision: Of the last change it knows; 0 is the defaults.
        changes: The latest state of each flag that was ever changed, by name.
        origin: Where the changes were read: from the changelog, or from the snapshot on disk.
        before: Another state of the same flags: what is the same in both is not compiled again.

    Attributes:
        revision: Of the last change it knows.
        changes: As they were given.
        compilation: Of these changes; the next snapshot shares what is the same there.
        asked_attributes: What rules ask of an utterance besides its user: those who agree in these, and in their user,
            get the same answers.
        compared: The flags whose users are being compared, be it that they climb by themselves or that their variants
            are arms.
        warnings: What contradicts itself and how it is settled, and what the environment says of no flag, a sentence
            each.
    """

    __slots__ = ("_deciders", "asked_attributes", "changes", "compared", "compilation", "revision", "warnings")

    def __init__(
        self,
        overrides: Mapping[str, bool] | None = None,
        revision: int = 0,
        *,
        changes: Mapping[str, FlagChange] = _NOTHING,
        origin: Origin = Origin.CHANGELOG,
        before: Snapshot | None = None,
    ) -> None:
        overrides = dict(overrides or {})
        self.revision = revision
        self.changes: Mapping[str, FlagChange] = MappingProxyType(dict(changes))
        self.compilation: Compilation = Compilation(
            overrides, self.changes, origin, None if before is None else before.compilation
        )
        self._deciders = self.compilation.deciders
        self.asked_attributes = _asked_attributes(self.changes)
        self.compared = tuple(sorted(name for name, change in self.changes.items() if _is_compared(change)))
        self.warnings = (*_contradictions(overrides, self.changes), *describe_unknown(overrides, self._deciders))

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


def _unknown(name: str, names: Iterable[str]) -> UnknownFlagError:
    return UnknownFlagError(f"There is no flag {name!r}; there are {', '.join(names)}.")
