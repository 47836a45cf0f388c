"""Which arm of the running experiment a user is in, the same at every worker; and which strategy the last one chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flags.bucketing import below, threshold
from flags.compiling import Reason
from flags.experiments.validation import is_running

if TYPE_CHECKING:
    from flags.evaluation import Context, Snapshot
    from schemas.events import FlagChange


class Experiments:
    """What experiments, under way and concluded, say about routing.

    Args:
        flags: The state in which they run.

    Attributes:
        running: The flag of the experiment under way; validation sees to it that there is one at most.
    """

    def __init__(self, flags: Snapshot) -> None:
        self._flags = flags
        running = next((flags.changes[name] for name in flags.compared if is_running(flags.changes[name])), None)
        self.running = None if running is None else running.name
        self._strategies = {} if running is None else _strategies(running)
        salt, percentage = ("", 0.0) if running is None else (running.salt or running.name, running.rollout_percentage)
        self._is_inside = below(salt, threshold(percentage))
        self._chosen = _chosen(flags)

    def arm(self, context: Context) -> str | None:
        """Return a user's arm; None for whom not chance decides: outside of the percentage, or picked by a rule."""
        if self.running is None or not context.user_id:
            return None
        answer = self._flags.evaluate(self.running, context)
        if answer.reason is not Reason.SPLIT or not self._is_inside(context.user_id):
            return None
        return answer.variant

    def strategy(self, arm: str | None) -> str | None:
        """Return the strategy of an arm or, for those in none, of the last experiment's winner, if there is one."""
        return self._chosen if arm is None else self._strategies[arm]


def _strategies(change: FlagChange) -> dict[str, str]:
    return {each.name: str(each.value) for each in change.variants}


def _chosen(flags: Snapshot) -> str | None:
    """Return what the experiment concluded last has found best; switching its flag off takes that back."""
    concluded = [
        change
        for change in flags.changes.values()
        if change.experiment is not None
        and change.experiment.state == "concluded"
        and change.enabled
        and not (change.killed or change.deleted)
    ]
    if not concluded:
        return None
    last = max(concluded, key=lambda change: change.revision)
    return _strategies(last).get(last.experiment.winner or "") if last.experiment is not None else None
