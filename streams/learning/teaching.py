"""One attempt at teaching the fine-tuned network: puts together what it is to learn, has that done, and releases it.

Minutes pass, in which others promote, try and forget: what comes of it is released only if what it was held against
serves still, nothing else is tried, and all that it has learnt is remembered.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog
from confluent_kafka import KafkaException

from flags.errors import ConflictError
from models.learning.material import forgotten, gather
from models.release import DISTILBERT
from models.store import fetch_release, prune, push_release
from models.training.assignment import Folders
from schemas.errors import UnavailableError
from streams.learning.audit import challenge_of
from streams.learning.network_watch import BY
from streams.release_log import TrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.learning.lessons import Lessons
    from models.training.assignment import Assignment
    from models.training.contest import Contest
    from schemas.events import Challenge, ModelRelease
    from streams.fleet.duty import Term
    from streams.learning.learner import Pupil
    from streams.learning.lesson_log import ReadLessons
    from streams.learning.network_watch import Champion
    from streams.release_acts import ReleaseActs

_log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 30.0
"""Until a release that was made is announced again, where that failed: it took minutes to make."""


class Place(NamedTuple):
    """Where releases are, and how much of everything.

    Attributes:
        store: Where they are pushed to.
        fetched: Folder for those that are taught from, and for what is in the making.
        max_bytes: What one may have.
        threads: Of training, on a processor.
        most_texts: So many texts are remembered.
    """

    store: str
    fetched: Path
    max_bytes: int
    threads: int
    most_texts: int


class Teaching:
    """Teaches a champion. Blocking, for minutes; of one thread.

    Args:
        place: Where, and how much.
        traffic: Returns what was said lately.
        attempt: Has an assignment done, as `models.training.apart.attempt_apart`.
        acts: Announce and promote.
        at_once: Whether what is better is promoted without a trial.
        serving: Returns the network that was announced to serve, as followed here.
        tried: Returns the release that is tried beside what serves, likewise.
        worker_id: Who we are.
    """

    def __init__(
        self,
        place: Place,
        *,
        traffic: Callable[[], Sequence[str]],
        attempt: Callable[[Assignment, Callable[[], bool]], Contest | None],
        acts: ReleaseActs,
        at_once: bool,
        serving: Callable[[], ModelRelease | None],
        tried: Callable[[], ModelRelease | None],
        worker_id: str,
    ) -> None:
        self._place = place
        self._traffic = traffic
        self._try = attempt
        self._acts = acts
        self._at_once = at_once
        self._serving = serving
        self._tried_now = tried
        self._worker_id = worker_id

    def teach(self, champion: Champion, pupil: Pupil, read: ReadLessons, term: Term) -> Challenge | None:
        """Teach what is to be learnt now.

        Args:
            champion: The network that serves.
            pupil: The catalogue and the encoder that do.
            read: The corrections.
            term: How long anybody wants to know.

        Returns:
            What came of it; None where nobody wants to know any more.

        Raises:
            UnavailableError: The broker or the store is away, a release is damaged, or training failed.
            UnknownReleaseError: The owner's release was never announced here.
        """
        owner = self._acts.read().find(DISTILBERT, champion.taught.owner)
        self._place.fetched.mkdir(parents=True, exist_ok=True)
        prune(self._place.fetched, {owner.sha256, champion.record.sha256}.__contains__)
        with tempfile.TemporaryDirectory(dir=self._place.fetched) as scratch:
            out = Path(scratch) / DISTILBERT
            folders = Folders(self._fetch(owner), self._fetch(champion.record), out)
            assignment = self._assignment(champion, pupil, read.lessons, folders)
            texts = frozenset(assignment.taught.texts)

            def goes_on(seconds: float = 0.0) -> bool:
                with suppress(UnavailableError, KafkaException):  # minutes of work outlast a broker that is away
                    read.follow()
                serving = self._serving()
                return (
                    term.lasts(seconds)
                    and serving is not None
                    and serving.release == champion.record.release
                    and not forgotten(read.lessons, texts, most=self._place.most_texts)
                )

            contest = self._try(assignment, goes_on) if goes_on() else None
            if contest is None:
                return None
            challenge = challenge_of(
                contest,
                model=DISTILBERT,
                catalogue=pupil.catalogue.digest,
                lessons=assignment.taught.lessons,
                corrections=len(texts),
                traffic=assignment.taught.traffic,
                worker_id=self._worker_id,
            )
            return self._release(out, challenge, goes_on, term) if contest.promoted else challenge

    def _fetch(self, record: ModelRelease) -> Path:
        return fetch_release(record.location, record.sha256, self._place.fetched, max_bytes=self._place.max_bytes)

    def _assignment(self, champion: Champion, pupil: Pupil, lessons: Lessons, folders: Folders) -> Assignment:
        from models.training.assigning import assign  # noqa: PLC0415 - imports scikit-learn

        return assign(
            gather(pupil.catalogue, lessons, self._traffic()),
            pupil.encoder,
            folders,
            learnt=champion.taught,
            lessons=lessons.revision,
            threads=self._place.threads,
        )

    def _release(
        self, folder: Path, challenge: Challenge, goes_on: Callable[[float], bool], term: Term
    ) -> Challenge | None:
        """Have a network tried, or served; return the challenge with its release, or None where nobody wants it now."""
        pushed = announced = None
        while goes_on(_LOOK_SECONDS):
            if self._tried_now() is not None:
                continue  # one at a time
            try:
                pushed = pushed or push_release(folder, self._place.store)
                announced = announced or self._acts.announce(*pushed, by=BY, reason=challenge.reason)
                begin = self._acts.promote if self._at_once else self._acts.shadow
                begin(DISTILBERT, announced.release, by=BY, reason=challenge.reason)
                return msgspec.structs.replace(challenge, release=announced.release)
            except (UnavailableError, ConflictError, TrialError) as error:
                _log.warning("network_not_released", reason=str(error), again_seconds=_RETRY_SECONDS)
                term.ending.wait(_RETRY_SECONDS)
        return None
