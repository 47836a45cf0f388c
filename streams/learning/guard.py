"""Guards what the classifier learns, in one worker of the fleet: judges each correction once, and writes what counts.

All it knows is read from the log; a worker that takes over goes on where the one before it stopped.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import structlog
from confluent_kafka import KafkaException

from flags.compiling import Origin, Reason
from flags.evaluation import Context
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.evaluation import Snapshot
    from streams.fleet.election import Election
    from streams.learning.desk import GuardDesk

_log = structlog.get_logger(__name__)

FLAG = "feedback_learning"

_IDLE_SECONDS = 0.2
_READ_SECONDS = 0.1
_RESTART_SECONDS = 1.0


class GuardObserver(Protocol):
    """Who counts. Called on the guard's thread; must not block."""

    def guarding(self, *, active: bool) -> None:
        """Show whether it is this worker that judges."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself, or that trying again mends."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


def is_learning(flags: Snapshot) -> bool:
    """Return whether corrections are learnt from: unless `feedback_learning` is off for everyone.

    Where it is on for some, they are who is answered as people corrected, and what is learnt must be there.
    """
    answer, change = flags.evaluate(FLAG, Context()), flags.changes.get(FLAG)
    if answer.value is True or answer.reason is Reason.ERROR:  # a percentage, and nobody is named whom it could include
        return True
    by_rule = change is not None and bool(change.rules) and answer.origin is not Origin.ENVIRONMENT
    return by_rule and answer.reason is not Reason.DISABLED


class GuardRunner:
    """Judges, on a thread, while this worker is the one elected to and the flag lets it.

    While it does not, feedback stays on its topic, and is worked through once it does.

    Args:
        new_election: Makes our candidacy.
        new_desk: Makes a desk, not opened yet, that gives up waiting for the broker when the event is set.
        flags: Returns the flags as they stand.
        wait_for_flags: Returns whether they have been read to their end, waiting so many seconds for that at most.
        observer: Who counts.
    """

    def __init__(
        self,
        *,
        new_election: Callable[[], Election],
        new_desk: Callable[[threading.Event], GuardDesk],
        flags: Callable[[], Snapshot],
        wait_for_flags: Callable[[float], bool],
        observer: GuardObserver,
    ) -> None:
        self._new_election = new_election
        self._new_desk = new_desk
        self._flags = flags
        self._wait_for_flags = wait_for_flags
        self._observer = observer
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def start(self) -> None:
        """Become a candidate, on a thread that keeps no process from ending."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Let another take over at once; started or not."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._stand()
            except KafkaException as failure:
                self._observer.broker_error(failure.args[0].name())
            except UnavailableError as failure:
                self._observer.broker_error("guard_unavailable")
                _log.warning("guard_interrupted", reason=str(failure))
            except Exception as error:  # noqa: BLE001 - the thread's guard: a bug stops no worker, and teaches nothing
                self._observer.unexpected("guard")
                _log.error("guard_failed", fault=type(error).__name__, exc_info=error)
            self._observer.guarding(active=False)
            self._ending.wait(_RESTART_SECONDS)

    def _stand(self) -> None:
        """Be a candidate once the flags are read, and judge whenever elected."""
        while not self._wait_for_flags(_IDLE_SECONDS):
            if self._ending.is_set():
                return
        election = self._new_election()
        try:
            while not self._ending.is_set():
                self._listen(election, _IDLE_SECONDS)
                if election.elected and is_learning(self._flags()):
                    self._judge(election)
        finally:
            election.close()

    def _judge(self, election: Election) -> None:
        """Work at a desk for as long as we are elected and may learn."""
        with self._new_desk(self._ending) as desk:
            self._observer.guarding(active=True)
            while not self._ending.is_set() and election.elected and is_learning(self._flags()):
                self._listen(election, 0.0)
                desk.work(_READ_SECONDS)
                if desk.is_outgrown:
                    break
        self._observer.guarding(active=False)

    def _listen(self, election: Election, seconds: float) -> None:
        code = election.poll(seconds)
        if code is not None:
            self._observer.broker_error(code)
