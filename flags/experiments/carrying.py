"""What becomes of an experiment when somebody changes its flag: who would move users starts the evidence anew.

Decided where the change is made, in the same record, so that no reader has to find out which results still compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from schemas.events import FlagChange

_MOVES_USERS = (
    "enabled",
    "killed",
    "rollout_percentage",
    "salt",
    "rules",
    "variants",
    "off_variant",
    "prerequisites",
)


def carry_experiment(change: FlagChange, before: FlagChange | None) -> FlagChange:
    """Return a change with the experiment that belongs into it.

    Args:
        change: What was asked for.
        before: The flag as it was, if it was.
    """
    experiment = change.experiment
    if experiment is None or experiment.state != "running":
        return change
    if experiment.started_revision == 0 or before is None or before.experiment is None:
        stamped = msgspec.structs.replace(experiment, started_revision=change.revision)
    elif any(getattr(change, name) != getattr(before, name) for name in _MOVES_USERS):
        stamped = msgspec.structs.replace(experiment, started_revision=change.revision, started_at=change.changed_at)
    else:
        return change
    return msgspec.structs.replace(change, experiment=stamped)
