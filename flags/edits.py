"""What people ask for: a few fields of a flag, laid over its latest state, checked all at once."""

from __future__ import annotations

from collections.abc import Container  # noqa: TC003 - msgspec reads it from here
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from flags.definitions import DEFINITIONS
from flags.errors import InvalidFlagError, PreconditionFailedError
from flags.experiments.carrying import carry_experiment
from flags.rollouts.carrying import carry_rollout
from schemas.errors import UnknownFlagError
from schemas.events import FlagChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flags.changelog import Fold

_BUILT_IN = {flag.name: flag for flag in DEFINITIONS}
_WRITERS_OWN = {"name", "revision", "changed_by", "reason", "changed_at", "deleted"}
_TYPES = get_type_hints(FlagChange, include_extras=True)

EDITABLE = tuple(field for field in FlagChange.__struct_fields__ if field not in _WRITERS_OWN | {"rollout"})
"""The fields that a person sets. A rollout is one, too, but is started, and not carried elsewhere half-way."""


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one flag, as somebody asks for it.

    Attributes:
        name: Of the flag.
        fields: What is to be different, by field of `FlagChange`, as JSON has it; the others stay.
        replace: Whether the others go back to their defaults instead.
        delete: Whether the flag is to be nobody's any more.
        create: Whether there may be no such flag yet.
        changed_by: Who.
        reason: Why.
        expected_revisions: Which revisions of the flag the change may be based on (`If-Match`); 0: that there is none;
            None: whichever.
        faults: What was wrong with how it was asked for, to be said together with everything else.
    """

    name: str
    fields: dict[str, Any] = {}
    replace: bool = False
    delete: bool = False
    create: bool = False
    changed_by: str
    reason: str = ""
    expected_revisions: Container[int] | None = None
    faults: tuple[str, ...] = ()


def flag_state(name: str, changes: Mapping[str, FlagChange]) -> FlagChange | None:
    """Return what a flag is: its latest change, else our default at no revision; None if there is no such flag."""
    change = changes.get(name)
    definition = _BUILT_IN.get(name)
    if change is not None and not change.deleted:
        if definition is None or change.owner:
            return change
        return msgspec.structs.replace(
            change,
            owner=definition.owner,
            description=change.description or definition.description,
            remove_after=change.remove_after or definition.remove_after,
        )
    if definition is None:
        return None
    return FlagChange(
        name=name,
        enabled=definition.default,
        revision=0 if change is None else change.revision,
        changed_by="" if change is None else change.changed_by,
        changed_at="" if change is None else change.changed_at,
        owner=definition.owner,
        description=definition.description,
        remove_after=definition.remove_after,
    )


def propose(edit: Edit, fold: Fold, *, revision: int, changed_at: str) -> FlagChange:
    """Return the change that an edit amounts to, as the next record.

    Args:
        edit: What is asked for.
        fold: The changelog, read to its end.
        revision: The next.
        changed_at: Now, RFC 3339.

    Raises:
        PreconditionFailedError: The flag is at another revision than the edit is based on.
        UnknownFlagError: There is no such flag, and the edit is not to make one.
        InvalidFlagError: Everything that is wrong with it.
    """
    latest = fold.changes.get(edit.name)
    state = flag_state(edit.name, fold.changes)
    now_at = latest.revision if latest is not None and state is not None else 0
    if edit.expected_revisions is not None and now_at not in edit.expected_revisions:
        raise PreconditionFailedError(
            f"The flag {edit.name} is at revision {now_at}, and that is not what the change is based on.",
            revision=now_at,
        )
    if state is None and (edit.delete or not edit.create):
        raise UnknownFlagError(f"There is no flag {edit.name!r}; to make one, say so.")
    stamp = {
        "name": edit.name,
        "revision": revision,
        "changed_by": edit.changed_by,
        "reason": edit.reason,
        "changed_at": changed_at,
        "deleted": edit.delete,
    }
    unknown = [field for field in edit.fields if field not in _TYPES]
    fields, faults = convert({field: edit.fields[field] for field in edit.fields if field in _TYPES} | stamp, _TYPES)
    faults |= {field: f"there is no field {field!r}; there are {', '.join(EDITABLE)}" for field in unknown}
    base = {} if state is None or edit.replace or edit.delete else msgspec.structs.asdict(state)
    default = edit.name in _BUILT_IN and _BUILT_IN[edit.name].default
    change = FlagChange(**{"enabled": default, **base, **fields}) if not faults.keys() & stamp.keys() else None
    if change is not None:
        change = carry_experiment(carry_rollout(change, state, named="rollout" in fields), state)
    beside = fold.faults_of(change) if change is not None else []
    if edit.faults or faults or beside or change is None:
        raise InvalidFlagError(edit.name, [*edit.faults, *faults.values(), *beside])
    return change


def convert(fields: Mapping[str, Any], types: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return fields with their types, and what is wrong with the others, by field.

    Args:
        fields: As JSON has them.
        types: Of each of them.
    """
    converted, faults = {}, {}
    for field, value in fields.items():
        try:
            converted[field] = msgspec.convert(value, types[field])
        except msgspec.ValidationError as error:
            faults[field] = f"{field}: {error}"
    return converted, faults
