"""Runs the rollouts, in one worker of the fleet: watches those who have a flag and those who have not, and acts.

All it knows is read from the log; a worker that takes over begins by reading what the one before it had read.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import structlog
from confluent_kafka import KafkaException

from flags.rollouts.acts import since
from flags.rollouts.status import judged
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flags.follower import Follower
    from flags.rollouts.controller import Controller
    from flags.rollouts.status import RolloutStatus
    from schemas.events import FlagChange
    from streams.evidence import EvidenceReader
    from streams.fleet.election import Election

_log = structlog.get_logger(__name__)

_IDLE_SECONDS = 0.2
_READ_SECONDS = 0.1
_LOOK_SECONDS = 0.2
"""Between two looks; evidence that comes meanwhile waits for so long."""
_RESTART_SECONDS = 1.0


class RolloutsObserver(Protocol):
    """Who shows. Called on the controller's thread; must not block."""

    def rollouts_judged(self, statuses: Sequence[RolloutStatus], behind_seconds: float) -> None:
        """Show all rollouts that this worker runs now, and how old their evidence is."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself, or that trying again mends."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class RolloutRunner:
    """Runs the rollouts, on a thread, while this worker is the one elected to.

    Args:
        new_election: Makes our candidacy.
        new_reader: Makes what reads the evidence.
        judge: Returns where a flag's rollout stands, by reading the log for it alone; blocking.
        follower: Holds the flags.
        controller: Carries out verdicts.
        observer: Who shows.

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
    ) -> None:
        self.statuses: Mapping[str, RolloutStatus] = MappingProxyType({})
        self._new_election = new_election
        self._new_reader = new_reader
        self._judge = judge
        self._follower = follower
        self._controller = controller
        self._observer = observer
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)

    def start(self) -> None:
        """Become a candidate, on a thread that keeps no process from ending."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Let another take over at once; started or not."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def judge(self, flag: FlagChange) -> RolloutStatus:
        """Return where a flag's rollout stands: as last judged here, else as the log says. Blocking.

        Raises:
            UnavailableError: The broker is away.
        """
        known = self.statuses.get(flag.name)
        return known if known is not None and known.revision == flag.revision else self._judge(flag)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._stand()
            except KafkaException as failure:
                self._observer.broker_error(failure.args[0].name())
            except Exception as error:  # noqa: BLE001 - the thread's guard: a bug stops no worker, and flags stay as they are
                self._observer.unexpected("rollouts")
                _log.error("rollouts_failed", fault=type(error).__name__, exc_info=error)
            self._show([], 0.0)
            self._ending.wait(_RESTART_SECONDS)

    def _stand(self) -> None:
        """Be a candidate once the flags are read, and act whenever elected."""
        while not self._follower.wait_until_caught_up(_IDLE_SECONDS):
            if self._ending.is_set():
                return
        election = self._new_election()
        try:
            while not self._ending.is_set():
                self._listen(election, _IDLE_SECONDS)
                if election.elected and self._running():
                    self._watch(election)
                    self._show([], 0.0)
        finally:
            election.close()

    def _watch(self, election: Election) -> None:
        """Read evidence and act on it, for as long as we are elected and any rollout runs."""
        looked_at = float("-inf")
        with self._new_reader() as evidence:
            while not self._ending.is_set() and election.elected and (running := self._running()):
                self._listen(election, 0.0)
                try:
                    evidence.follow([since(flag) for flag in running])
                except UnavailableError:
                    self._observer.broker_error("evidence_unavailable")
                    self._ending.wait(_RESTART_SECONDS)
                    continue
                self._controller.get_ready(running)
                evidence.read(_READ_SECONDS)
                if time.monotonic() - looked_at >= _LOOK_SECONDS:
                    looked_at = time.monotonic()
                    self._look(running, evidence)

    def _look(self, running: list[FlagChange], evidence: EvidenceReader) -> None:
        now, behind = dt.datetime.now(dt.UTC), max(evidence.behind_seconds, self._follower.age_seconds)
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

    def _listen(self, election: Election, seconds: float) -> None:
        code = election.poll(seconds)
        if code is not None:
            self._observer.broker_error(code)

    def _show(self, statuses: Sequence[RolloutStatus], behind_seconds: float) -> None:
        self.statuses = MappingProxyType({status.flag: status for status in statuses})
        self._observer.rollouts_judged(statuses, behind_seconds)
