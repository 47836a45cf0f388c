"""Guards what the classifier learns, in one worker of the fleet: judges each correction once, and writes what counts.

All it knows is read from the log; a worker that takes over goes on where the one before it stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from flags.compiling import Origin, Reason
from flags.evaluation import Context
from streams.fleet.duty import DutyObserver, DutyThread

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from flags.evaluation import Snapshot
    from streams.fleet.duty import Term
    from streams.fleet.election import Election
    from streams.learning.desk import GuardDesk

FLAG = "feedback_learning"

_READ_SECONDS = 0.1


class GuardObserver(DutyObserver, Protocol):
    """Who counts and shows. Called on the guard's thread; must not block."""

    def guarding(self, *, active: bool) -> None:
        """Show whether it is this worker that judges."""


def is_learning(flags: Snapshot) -> bool:
    """Return whether corrections are learnt from: unless `feedback_learning` is off for everyone.

    Where it is on for some, they are who is answered as people corrected, and what is learnt must be there.
    """
    return may_be_on(flags, FLAG)


def may_be_on(flags: Snapshot, name: str) -> bool:
    """Return whether a flag is on for somebody, as far as can be told without knowing who there is."""
    answer, change = flags.evaluate(name, Context()), flags.changes.get(name)
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
        self._new_desk = new_desk
        self._flags = flags
        self._observer = observer
        self._thread = DutyThread(
            "guard", self, new_election=new_election, wait_for_flags=wait_for_flags, observer=observer
        )

    def start(self) -> None:
        """Become a candidate, on a thread that keeps no process from ending."""
        self._thread.start()

    def stop(self) -> None:
        """Let another take over at once; started or not."""
        self._thread.stop()

    # The duty, on that thread.

    def is_due(self) -> bool:
        """Return whether corrections are learnt from."""
        return is_learning(self._flags())

    def work(self, term: Term) -> None:
        """Work at a desk until it is outgrown."""
        with self._new_desk(term.ending) as desk:
            self._observer.guarding(active=True)
            while term.lasts() and not desk.is_outgrown:
                desk.work(_READ_SECONDS)

    def rest(self) -> None:
        """Show that it is not this worker that judges."""
        self._observer.guarding(active=False)
