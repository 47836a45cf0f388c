"""Runs the rollouts, in one worker of the fleet: watches those who have a flag and those who have not, and acts.

All it knows is read from the log; a worker that takes over begins by reading what the one before it had read.
"""

from __future__ import annotations

import datetime as dt
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from flags.rollouts.acts import since
from flags.rollouts.status import judged
from streams.fleet.duty import DutyObserver, DutyThread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flags.follower import Follower
    from flags.rollouts.controller import Controller
    from flags.rollouts.status import RolloutStatus
    from schemas.events import FlagChange
    from streams.evidence import EvidenceReader
    from streams.fleet.duty import Term
    from streams.fleet.election import Election

_READ_SECONDS = 0.1
_LOOK_SECONDS = 0.2
"""Between two looks; evidence that comes meanwhile waits for so long."""


class RolloutsObserver(DutyObserver, Protocol):
    """Who counts and shows. Called on the controller's thread; must not block."""

    def rollouts_judged(self, statuses: Sequence[RolloutStatus], behind_seconds: float) -> None:
        """Show all rollouts that this worker runs now, and how old their evidence is."""


def utc_now() -> dt.datetime:
    """Return the time."""
    return dt.datetime.now(dt.UTC)


class RolloutRunner:
    """Runs the rollouts, on a thread, while this worker is the one elected to.

    Args:
        new_election: Makes our candidacy.
        new_reader: Makes what reads the evidence.
        judge: Returns where a flag's rollout stands, by reading the log for it alone; blocking.
        follower: Holds the flags.
        controller: Carries out verdicts.
        observer: Who shows.
        clock: Returns the time, with its zone; by it a step's time has come.

    Attributes:
        statuses: Of the rollouts that this worker runs, by flag, as they were last judged; replaced, never changed.
    """

    def __init__(
        self,
        *,
        new_election: Callable[[], Election],
        new_reader: Callable[[], EvidenceReader],
        judge: Callable[[FlagChange], RolloutStatus],
        follower: Follower,
        controller: Controller,
        observer: RolloutsObserver,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.statuses: Mapping[str, RolloutStatus] = MappingProxyType({})
        self._new_reader = new_reader
        self._judge = judge
        self._follower = follower
        self._controller = controller
        self._observer = observer
        self._clock = clock
        self._thread = DutyThread(
            "rollouts",
            self,
            new_election=new_election,
            wait_for_flags=follower.wait_until_caught_up,
            observer=observer,
        )

    def start(self) -> None:
        """Become a candidate, on a thread that keeps no process from ending."""
        self._thread.start()

    def stop(self) -> None:
        """Let another take over at once; started or not."""
        self._thread.stop()

    def judge(self, flag: FlagChange) -> RolloutStatus:
        """Return where a flag's rollout stands: as last judged here, else as the log says. Blocking.

        Raises:
            UnavailableError: The broker is away.
        """
        known = self.statuses.get(flag.name)
        return known if known is not None and known.revision == flag.revision else self._judge(flag)

    # The duty, on that thread.

    def is_due(self) -> bool:
        """Return whether any rollout runs."""
        return bool(self._running())

    def work(self, term: Term) -> None:
        """Read evidence and act on it."""
        looked_at = float("-inf")
        with self._new_reader() as evidence:
            while term.lasts():
                running = self._running()
                evidence.follow([since(flag) for flag in running])
                self._controller.get_ready(running)
                evidence.read(_READ_SECONDS)
                if time.monotonic() - looked_at >= _LOOK_SECONDS:
                    looked_at = time.monotonic()
                    self._look(running, evidence)

    def rest(self) -> None:
        """Show that it is not this worker that runs them."""
        self._show([], 0.0)

    def _look(self, running: list[FlagChange], evidence: EvidenceReader) -> None:
        now, behind = self._clock(), max(evidence.behind_seconds, self._follower.age_seconds)
        judgements = []
        for flag in running:
            comparison = evidence.comparison(since(flag))
            if comparison is not None and flag.rollout is not None:
                judgements.append((flag, judged(flag, flag.rollout, comparison, now, behind_seconds=behind)))
        self._show([status for _, status in judgements], behind)
        for flag, status in judgements:
            self._controller.carry_out(flag, status, now)

    def _running(self) -> list[FlagChange]:
        """Return the flags whose rollouts run, as far as we have read."""
        return [
            flag
            for flag in self._follower.snapshot.changes.values()
            if flag.rollout is not None
            and flag.rollout.state == "running"
            and not flag.deleted
            and self._controller.is_due(flag)
        ]

    def _show(self, statuses: Sequence[RolloutStatus], behind_seconds: float) -> None:
        self.statuses = MappingProxyType({status.flag: status for status in statuses})
        self._observer.rollouts_judged(statuses, behind_seconds)
