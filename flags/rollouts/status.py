"""What a rollout looks like from outside: where it stands, what was seen, and what would be done next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from flags.compiling import OFF, ON
from flags.rollouts.acts import share
from flags.rollouts.decision import Look, Verdict, decide, look_at
from schemas.events import Rollout  # noqa: TC001 - msgspec reads it from here

if TYPE_CHECKING:
    import datetime as dt

    from flags.comparison import Comparison
    from schemas.events import FlagChange


class RolloutStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout, as the log has it, and what the evidence says.

    Attributes:
        flag: Its name.
        percentage: How many of the users whom no rule picks have it.
        rollout: As in the flag's state.
        revision: Of the flag's last change.
        changed_by: Who made that change.
        changed_at: When.
        reason: Why.
        verdict: What is to be done; None: nothing, for it is not running, or nobody has looked yet.
        why: Of the verdict, with the numbers.
        warning: What a person should look into.
        look: What was seen; None: nobody has looked yet.
    """

    flag: str
    percentage: float
    rollout: Rollout
    revision: int
    changed_by: str
    changed_at: str
    reason: str
    verdict: Verdict | None = None
    why: str = ""
    warning: str | None = None
    look: Look | None = None


def status_of(flag: FlagChange, rollout: Rollout, look: Look | None = None) -> RolloutStatus:
    """Return where a flag's rollout stands, without a verdict."""
    return RolloutStatus(
        flag=flag.name,
        percentage=share(flag),
        rollout=rollout,
        revision=flag.revision,
        changed_by=flag.changed_by,
        changed_at=flag.changed_at,
        reason=flag.reason,
        look=look,
    )


def judged(
    flag: FlagChange, rollout: Rollout, comparison: Comparison, now: dt.datetime, *, behind_seconds: float
) -> RolloutStatus:
    """Return where a flag's rollout stands, and what is to be done with it.

    Args:
        flag: As the log has it.
        rollout: Its rollout, running or paused.
        comparison: What was seen since it came to its step.
        now: With its zone.
        behind_seconds: As in `Look`.
    """
    look = look_at(flag, rollout, comparison.arm(ON), comparison.arm(OFF), behind_seconds=behind_seconds)
    step = decide(flag, look, now)
    status = status_of(flag, rollout, look)
    return msgspec.structs.replace(status, verdict=step.verdict, why=step.why, warning=step.warning)
