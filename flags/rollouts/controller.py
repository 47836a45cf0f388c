"""Carries out what the evidence says, by writing flags like anyone else: as an edit that names its revision and reason.

Two controllers, should there ever be two for a moment, do no harm: both come to the same verdict from the same log, and
the second one's edit is refused, for the flag is no longer at the revision that it was based on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from flags.acts import Author, rfc3339
from flags.rollouts.acts import climb, roll_back
from flags.rollouts.decision import Verdict
from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from flags.edits import Edit
    from flags.rollouts.status import RolloutStatus
    from schemas.events import FlagChange

_log = structlog.get_logger(__name__)

CONTROLLER = "rollout-controller"
_MAX_REASON_CHARACTERS = 2_000


class FlagWriter(Protocol):
    """What writes flags, as `flags.writer.Writer` does."""

    def write(self, edit: Edit) -> FlagChange:
        """Make one change."""

    def get_ready(self) -> None:
        """Make sure that the next change takes as little time as it can."""


class ControllerObserver(Protocol):
    """Who counts what a controller does. Called on its thread; must not block."""

    def rollout_moved(self, flag: str, verdict: Verdict) -> None:
        """Count that a flag climbed or was rolled back."""


class Controller:
    """What is done about verdicts.

    Args:
        writer: Makes the edits.
        observer: Who counts.
    """

    def __init__(self, writer: FlagWriter, observer: ControllerObserver) -> None:
        self._writer = writer
        self._observer = observer
        self._written: dict[str, int] = {}
        self._watched: frozenset[tuple[str, int]] = frozenset()
        self._said: dict[str, tuple[int, Verdict | None, str | None]] = {}

    def is_due(self, flag: FlagChange) -> bool:
        """Return whether a state is worth judging: not one that we know to be over, but have not read the next of."""
        return flag.revision >= self._written.get(flag.name, 0)

    def get_ready(self, flags: Iterable[FlagChange]) -> None:
        """Prepare to act on these at any moment; whoever has changed one of them since had the writers' turn."""
        watched = frozenset((flag.name, flag.revision) for flag in flags)
        is_news = any(self._written.get(name) != revision for name, revision in watched - self._watched)
        self._watched = watched
        if is_news:
            try:
                self._writer.get_ready()
            except IntentStreamError as error:
                _log.info("rollouts_not_ready", code=error.code)

    def carry_out(self, flag: FlagChange, status: RolloutStatus, now: dt.datetime) -> None:
        """Do what a verdict says, unless the rollout is a dry run; what cannot be done now is tried at the next look.

        Args:
            flag: What was judged.
            status: With its verdict.
            now: With its zone.
        """
        self._say(status)
        if status.verdict in {None, Verdict.HOLD} or status.rollout.dry_run:
            return
        author = Author(changed_by=CONTROLLER, reason=status.why[:_MAX_REASON_CHARACTERS], now=rfc3339(now))
        try:
            edit = climb(flag, author) if status.verdict is Verdict.PROMOTE else roll_back(flag, author)
            written = self._writer.write(edit)
        except IntentStreamError as error:
            _log.warning("rollout_not_moved", flag=flag.name, verdict=status.verdict, code=error.code)
            return
        self._written[flag.name] = written.revision
        self._observer.rollout_moved(flag.name, status.verdict)
        _log.info(
            "rollout_moved",
            flag=flag.name,
            verdict=status.verdict,
            percentage=written.rollout_percentage,
            revision=written.revision,
            why=status.why,
        )

    def _say(self, status: RolloutStatus) -> None:
        """Log a verdict, or a warning, that is news."""
        news = (status.revision, status.verdict, status.warning)
        if self._said.get(status.flag) == news:
            return
        self._said[status.flag] = news
        said = _log.warning if status.warning or status.verdict is Verdict.ROLLBACK else _log.info
        said(
            "rollout_judged",
            flag=status.flag,
            verdict=status.verdict,
            percentage=status.percentage,
            dry_run=status.rollout.dry_run,
            why=status.why,
        )
