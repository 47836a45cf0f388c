"""Does on a thread what one worker does for the whole fleet, while this worker is the one elected to.

Whatever goes wrong there, the thread lets go, so that another may try, and stands again a moment later.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import structlog
from confluent_kafka import KafkaException

from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.fleet.election import Election

_log = structlog.get_logger(__name__)

_IDLE_SECONDS = 0.2
_RESTART_SECONDS = 1.0


class DutyObserver(Protocol):
    """Who counts. Called on the duty's thread; must not block."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself, or that trying again mends."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class Duty(Protocol):
    """What is done. Called on one thread."""

    def is_due(self) -> bool:
        """Return whether there is anything to do."""

    def work(self, term: Term) -> None:
        """Do it while the term lasts, or return sooner to be called anew.

        Raises:
            UnavailableError: What it needs is away.
        """

    def rest(self) -> None:
        """Show that it is not this worker that does it now."""


class Term:
    """How long a worker is the one to act. Of the duty's thread.

    Attributes:
        ending: Set when the thread is to end; for what waits elsewhere.
    """

    def __init__(self, election: Election, duty: Duty, ending: threading.Event, observer: DutyObserver) -> None:
        self.ending = ending
        self._election = election
        self._duty = duty
        self._observer = observer

    def lasts(self, seconds: float = 0.0) -> bool:
        """Return whether we are elected and the duty is due, having listened for so long."""
        if self.ending.is_set():
            return False
        code = self._election.poll(seconds)
        if code is not None:
            self._observer.broker_error(code)
        return self._election.elected and self._duty.is_due() and not self.ending.is_set()


class DutyThread:
    """Stands for a duty, and does it whenever elected.

    Args:
        name: Of the duty, for threads, logs and counts.
        duty: What is done.
        new_election: Makes our candidacy.
        wait_for_flags: Returns whether the flags have been read to their end, waiting so many seconds for that at most.
        observer: Who counts.
    """

    def __init__(
        self,
        name: str,
        duty: Duty,
        *,
        new_election: Callable[[], Election],
        wait_for_flags: Callable[[float], bool],
        observer: DutyObserver,
    ) -> None:
        self._name = name
        self._duty = duty
        self._new_election = new_election
        self._wait_for_flags = wait_for_flags
        self._observer = observer
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

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
                self._observer.broker_error(f"{self._name}_unavailable")
                _log.warning("duty_interrupted", duty=self._name, reason=str(failure))
            except Exception as error:  # noqa: BLE001 - the thread's guard: a bug stops no worker
                self._observer.unexpected(self._name)
                _log.error("duty_failed", duty=self._name, fault=type(error).__name__, exc_info=error)
            self._ending.wait(_RESTART_SECONDS)

    def _stand(self) -> None:
        """Be a candidate once the flags are read, and act whenever elected."""
        while not self._wait_for_flags(_IDLE_SECONDS):
            if self._ending.is_set():
                return
        election = self._new_election()
        term = Term(election, self._duty, self._ending, self._observer)
        try:
            while not self._ending.is_set():
                if term.lasts(_IDLE_SECONDS):
                    self._act(term)
        finally:
            election.close()

    def _act(self, term: Term) -> None:
        try:
            self._duty.work(term)
        finally:
            self._duty.rest()
