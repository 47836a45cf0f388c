"""Teaches the fine-tuned network what people corrected, in one worker of the fleet, and releases what is better.

A network that was pushed and promoted is its owner's. What is taught begins at that each time, in a process of its own,
and goes the way of any release.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import structlog

from health.logs import describe_fault
from models.learning.material import forgotten, learnable
from models.release import DISTILBERT, DamagedReleaseError
from models.store import InvalidLocationError, StoreUnavailableError
from models.torch_extra import require_torch
from schemas.errors import IntentStreamError, UnavailableError
from streams.fleet.duty import DutyObserver, DutyThread
from streams.learning.guard import is_learning, may_be_on
from streams.learning.lesson_log import ReadLessons
from streams.learning.network_watch import taught_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Consumer

    from flags.evaluation import Snapshot
    from models.learning.lessons import Lessons
    from schemas.events import Challenge, ModelRelease
    from streams.fleet.duty import Term
    from streams.fleet.election import Election
    from streams.learning.learner import Pupil
    from streams.learning.network_watch import Champion, Champions
    from streams.learning.teaching import Teaching
    from streams.privacy.person_keys import PersonKeys
    from streams.release_acts import ReleaseActs

_log = structlog.get_logger(__name__)

WANTED = "distilbert_model"
"""The flag that has users answered by the network; where nobody is, nothing is taught."""

FAILED = "failed"
"""What an attempt is counted as that could not be made."""

_LOOK_SECONDS = 1.0
"""Between two looks at the corrections."""
_FAILED_SECONDS = 3_600.0
"""After an attempt that failed: another takes as many minutes, and would most likely fail, too."""


class NetworkObserver(DutyObserver, Protocol):
    """Who counts and shows. Called on the duty's thread; must not block."""

    def network_learning(self, *, active: bool) -> None:
        """Show whether it is this worker that teaches the network."""

    def network_challenged(self, code: str, seconds: float) -> None:
        """Count a taught network by what came of it, and how long that took."""


class NetworkLearning:
    """Teaches, on a thread, while this worker is the one elected to, the flags let it, and a network serves.

    Args:
        teaching: Makes one attempt.
        champions: Tell which network serves.
        pupil: Returns what serves besides; None while that has no encoder.
        tried: Returns the release that is tried beside what serves, as followed here.
        acts: Tell which networks were taught before.
        after: So many new corrections are worth an attempt; 0: none is made.
        most_texts: So many texts are remembered.
        record: Writes to the audit what came of a network.
        new_election: Makes our candidacy.
        new_reader: Makes a consumer as `flags.clients.reader_config` configures it.
        flags: Returns the flags as they stand.
        wait_for_flags: Returns whether they have been read to their end, waiting so many seconds for that at most.
        observer: Who counts.
        keys: Open what is sealed.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        teaching: Teaching,
        champions: Champions,
        *,
        pupil: Callable[[], Pupil | None],
        tried: Callable[[], ModelRelease | None],
        acts: ReleaseActs,
        after: int,
        most_texts: int,
        record: Callable[[Challenge], None],
        new_election: Callable[[], Election],
        new_reader: Callable[[], Consumer],
        flags: Callable[[], Snapshot],
        wait_for_flags: Callable[[float], bool],
        observer: NetworkObserver,
        keys: PersonKeys | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._teaching = teaching
        self._champions = champions
        self._pupil = pupil
        self._tried_now = tried
        self._acts = acts
        self._after = after
        self._most = most_texts
        self._record = record
        self._new_reader = new_reader
        self._flags = flags
        self._observer = observer
        self._keys = keys
        self._clock = clock
        self._attempted: dict[str, int] = {}
        self._counted: tuple[str, int, int] = "", 0, 0
        self._not_before = float("-inf")
        self._thread = DutyThread(
            "network-learner", self, new_election=new_election, wait_for_flags=wait_for_flags, observer=observer
        )

    def start(self) -> None:
        """Become a candidate, on a thread that keeps no process from ending, if this machine can teach."""
        if not self._after:
            return
        try:
            require_torch("Teaching the fine-tuned network", "train")
        except UnavailableError as missing:
            _log.info("network_not_taught_here", reason=str(missing))
            return
        self._thread.start()

    def stop(self) -> None:
        """Let another take over at once; started or not."""
        self._thread.stop()
        self._acts.close()

    # The duty, on that thread.

    def is_due(self) -> bool:
        """Return whether corrections are learnt from, and the network may answer somebody."""
        flags = self._flags()
        return is_learning(flags) and may_be_on(flags, WANTED)

    def work(self, term: Term) -> None:
        """Follow the corrections, and teach whenever there are enough new ones."""
        reader = self._new_reader()
        try:
            read = ReadLessons(reader, self._keys)
            self._observer.network_learning(active=True)
            while term.lasts(_LOOK_SECONDS):
                read.follow()
                champion, pupil = self._champions.current(), self._pupil()
                if champion is None or pupil is None or self._tried_now() is not None:
                    continue
                if self._clock() >= self._not_before and self._is_worth_it(champion, pupil, read.lessons):
                    self._attempt(champion, pupil, read, term)
        finally:
            reader.close()

    def rest(self) -> None:
        """Show that it is not this worker that teaches."""
        self._observer.network_learning(active=False)

    def _is_worth_it(self, champion: Champion, pupil: Pupil, lessons: Lessons) -> bool:
        """Return whether there are enough corrections that no attempt has seen.

        What has learnt something that was forgotten is about to be taken back: nothing is held against that.
        """
        if forgotten(lessons, champion.taught.texts, most=self._most):
            return False
        tried = self._tried_up_to(champion)
        counted = (champion.record.release, tried, lessons.revision)
        if counted == self._counted:
            return False
        self._counted = counted
        return sum(lesson.revision > tried for lesson in learnable(pupil.catalogue, lessons)) >= self._after

    def _tried_up_to(self, champion: Champion) -> int:
        """Return the revision that was learnt by the latest network that was made of the same owner's, served or not.

        What was withdrawn or rolled back is not made again of the same corrections.
        """
        owner = champion.taught.owner
        if owner not in self._attempted:
            self._attempted[owner] = max(map(self._learnt_of(owner), self._acts.read().pushed(DISTILBERT)), default=0)
        return self._attempted[owner]

    @staticmethod
    def _learnt_of(owner: str) -> Callable[[ModelRelease], int]:
        def learnt(record: ModelRelease) -> int:
            try:
                taught = taught_of(record)
            except (StoreUnavailableError, DamagedReleaseError, InvalidLocationError) as error:
                _log.warning("release_not_read", model=DISTILBERT, release=record.release, reason=str(error))
                return 0
            return taught.lessons if taught.owner == owner else 0

        return learnt

    def _attempt(self, champion: Champion, pupil: Pupil, read: ReadLessons, term: Term) -> None:
        begun, revision = self._clock(), read.lessons.revision
        try:
            challenge = self._teaching.teach(champion, pupil, read, term)
        except Exception as error:  # noqa: BLE001 - the guard of an attempt: what fails is not begun again at once
            if not isinstance(error, IntentStreamError):
                self._observer.unexpected("network-learner")
            self._not_before = self._clock() + _FAILED_SECONDS
            self._counted = "", 0, 0
            self._observer.network_challenged(FAILED, self._clock() - begun)
            _log.error("network_not_taught", again_seconds=_FAILED_SECONDS, **describe_fault(error))
            return
        self._counted = "", 0, 0
        if challenge is None:
            return
        self._attempted[champion.taught.owner] = revision
        seconds = self._clock() - begun
        self._observer.network_challenged(challenge.code, seconds)
        _log.info("network_challenged", code=challenge.code, p_value=challenge.p_value, seconds=round(seconds, 1))
        self._record(challenge)
