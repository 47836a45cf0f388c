"""What becomes of a rollout when somebody changes its flag: who steers by hand takes over, and the rollout waits.

Decided where the change is made, in the same record, so that no controller has to notice it in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from schemas.events import FlagChange, Rollout

_WORDS_ONLY = frozenset({"owner", "description", "remove_after"})
_RECORDS_OWN = frozenset({"name", "revision", "changed_by", "reason", "changed_at", "rollout", "experiment"})
_UNDER_WAY = frozenset({"running", "paused"})


def carry_rollout(change: FlagChange, before: FlagChange | None, *, named: bool) -> FlagChange:
    """Return a change with the rollout that belongs into it.

    Args:
        change: What was asked for.
        before: The flag as it was, if it was.
        named: Whether the rollout itself was asked for.
    """
    rollout = change.rollout if named or before is None or before.rollout is None else _carried(change, before)
    if rollout is not None and rollout.entered_revision == 0:
        rollout = msgspec.structs.replace(rollout, entered_revision=change.revision)
    return msgspec.structs.replace(change, rollout=rollout)


def _carried(change: FlagChange, before: FlagChange) -> Rollout | None:
    rollout = before.rollout
    if change.deleted:
        return None
    if rollout is None or rollout.state not in _UNDER_WAY or not _is_steered(change, before):
        return rollout
    return msgspec.structs.replace(
        rollout, state="paused", entered_at=change.changed_at, entered_revision=change.revision
    )


def _is_steered(change: FlagChange, before: FlagChange) -> bool:
    """Return whether a change may give somebody another variant."""
    fields = [name for name in change.__struct_fields__ if name not in _WORDS_ONLY | _RECORDS_OWN]
    return any(getattr(change, name) != getattr(before, name) for name in fields)
