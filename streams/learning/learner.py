"""Retrains the head of the tier `zero_shot`, in one worker of the fleet, and releases what is better beyond noise.

All it knows is read from the logs: corrections, what was said lately, and of the releases how far one has learnt. What
it makes is announced like any release, tried beside what serves (`streams.trials`), and one command takes it back.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import structlog

from flags.errors import ConflictError
from models.release import ZERO_SHOT, DamagedReleaseError
from models.store import InvalidLocationError, StoreUnavailableError, fetch_file, push_release
from models.zero_shot_release import MADE_FOR_FILE, MadeFor, check_made_for, make_zero_shot_release
from schemas.errors import UnavailableError
from streams.fleet.duty import DutyObserver, DutyThread
from streams.learning.audit import challenge_of
from streams.learning.guard import is_learning
from streams.learning.lesson_log import ReadLessons
from streams.learning.tried import Tried
from streams.release_log import TrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from confluent_kafka import Consumer

    from flags.evaluation import Snapshot
    from models.catalogue import Catalogue
    from models.encoder import Encoder
    from models.learning.lessons import Lessons
    from models.learning.material import Material
    from models.training.learner import Attempt, HeadLearner
    from models.zero_shot import ZeroShotModel
    from schemas.events import Challenge, ModelRelease, TrialVerdict
    from streams.fleet.duty import Term
    from streams.fleet.election import Election
    from streams.learning.network_watch import NetworkWatch
    from streams.privacy.person_keys import PersonKeys
    from streams.release_acts import ReleaseActs

_log = structlog.get_logger(__name__)

BY = "learner"
"""Who releases, as the releases' log names it."""

_LOOK_SECONDS = 1.0
"""Between two looks at the corrections."""
_RETRY_SECONDS = 30.0
"""Until a release that was made is announced again, where that failed: it took a minute to make."""


class LearnerObserver(DutyObserver, Protocol):
    """Who counts and shows. Called on the learner's thread; must not block."""

    def head_learning(self, *, active: bool) -> None:
        """Show whether it is this worker that retrains heads."""

    def head_challenged(self, code: str, seconds: float) -> None:
        """Count a challenger by what came of it, and how long that took."""


class Pupil(NamedTuple):
    """What serves, as far as the learner is concerned."""

    catalogue: Catalogue
    encoder: Encoder
    encoder_name: str
    learnt: int = 0
    """The revision of the corrections that its head has learnt; 0: it knows the catalogue alone."""
    texts: frozenset[str] = frozenset()
    """The keys of the lessons that its head has learnt."""


class HeadLearning:
    """Retrains heads, on a thread, while this worker is the one elected to and the flag lets it.

    Args:
        new_election: Makes our candidacy.
        new_reader: Makes a consumer as `flags.clients.reader_config` configures it.
        pupil: Returns what serves; None while that has no encoder.
        new_learner: Makes a learner of what serves, given the revision up to which corrections were tried, and what the
            head that serves is made of, if that is known.
        traffic: Returns what was said lately.
        acts: Announce and promote.
        tried: Returns the release that is tried beside what serves, as followed here.
        at_once: Whether what is better is promoted without a trial.
        store: Where releases are pushed to.
        record: Writes to the audit what came of a head.
        flags: Returns the flags as they stand.
        wait_for_flags: Returns whether they have been read to their end, waiting so many seconds for that at most.
        worker_id: Who we are.
        observer: Who counts.
        keys: Open what is sealed.
        most_texts: So many texts are remembered.
        networks: Is shown the lessons, too: the network has learnt from them, and forgets as heads do.
    """

    def __init__(
        self,
        *,
        new_election: Callable[[], Election],
        new_reader: Callable[[], Consumer],
        pupil: Callable[[], Pupil | None],
        new_learner: Callable[[Pupil, int, Material | None], HeadLearner],
        traffic: Callable[[], Sequence[str]],
        acts: ReleaseActs,
        tried: Callable[[], ModelRelease | None],
        at_once: bool,
        store: str,
        record: Callable[[Challenge | TrialVerdict], None],
        flags: Callable[[], Snapshot],
        wait_for_flags: Callable[[float], bool],
        worker_id: str,
        observer: LearnerObserver,
        keys: PersonKeys | None = None,
        most_texts: int,
        networks: NetworkWatch,
    ) -> None:
        self._keys = keys
        self._new_reader = new_reader
        self._pupil = pupil
        self._new_learner = new_learner
        self._traffic = traffic
        self._acts = acts
        self._tried_now = tried
        self._at_once = at_once
        self._store = store
        self._record = record
        self._flags = flags
        self._worker_id = worker_id
        self._observer = observer
        self._networks = networks
        self._made: tuple[int, Material] | None = None
        self._watch = Tried(ZERO_SHOT, _texts_of, acts=acts, record=record, by=BY, worker_id=worker_id, most=most_texts)
        self._thread = DutyThread(
            "learner", self, new_election=new_election, wait_for_flags=wait_for_flags, observer=observer
        )

    def start(self) -> None:
        """Become a candidate, on a thread that keeps no process from ending."""
        self._thread.start()

    def stop(self) -> None:
        """Let another take over at once; started or not."""
        self._thread.stop()
        self._acts.close()

    # The duty, on that thread.

    def is_due(self) -> bool:
        """Return whether corrections are learnt from."""
        return is_learning(self._flags())

    def work(self, term: Term) -> None:
        """Follow the corrections, and try another head whenever there are enough new ones."""
        reader = self._new_reader()
        try:
            read = ReadLessons(reader, self._keys)
            lessons = read.lessons
            learner: HeadLearner | None = None
            taught: Pupil | None = None
            self._observer.head_learning(active=True)
            while term.lasts(_LOOK_SECONDS):
                read.follow()
                self._networks.look(lessons)
                pupil = self._pupil()
                if pupil is None or not (len(lessons) or pupil.texts):
                    continue  # to learn and to forget there is nothing; a learner begins by importing for seconds
                if learner is None or pupil != taught:
                    learner, taught = self._new_learner(pupil, self._tried(pupil), self._material_of(pupil)), pupil
                tried = self._tried_now()
                if tried is not None:
                    self._watch.see_that_it_may_stay(tried, lessons)
                # One at a time; what serves and knows what was forgotten does not wait for what is tried.
                if learner.forgets(lessons) or (tried is None and learner.is_due(lessons)):
                    self._attempt(learner, pupil, lessons, term)
        finally:
            reader.close()

    def rest(self) -> None:
        """Show that it is not this worker that retrains."""
        self._observer.head_learning(active=False)

    def _material_of(self, pupil: Pupil) -> Material | None:
        """Return what the head that serves is made of, if it was made here."""
        if self._made is None or self._made[0] != pupil.learnt or self._made[1].catalogue != pupil.catalogue:
            return None
        return self._made[1] if frozenset(self._made[1].keys) == pupil.texts else None

    def _tried(self, pupil: Pupil) -> int:
        """Return what was learnt by the latest head for this catalogue, also if it was taken back: not again the same.

        Raises:
            UnavailableError: The broker is away.
        """
        for record in reversed(self._acts.read().pushed(ZERO_SHOT)):
            try:
                content = fetch_file(record.location, record.sha256, MADE_FOR_FILE)
                return max(pupil.learnt, check_made_for(content, pupil.catalogue.digest).lessons)
            except StoreUnavailableError as error:
                _log.warning("release_not_read", model=ZERO_SHOT, release=record.release, reason=str(error))
            except UnavailableError:
                break  # the catalogue is another since
        return pupil.learnt

    def _attempt(self, learner: HeadLearner, pupil: Pupil, lessons: Lessons, term: Term) -> None:
        begun = time.monotonic()
        attempt = learner.attempt(lessons, self._traffic(), goes_on=term.lasts)
        if attempt is None:
            return
        contest, seconds = attempt.contest, time.monotonic() - begun
        revision = max(lessons.revision, pupil.learnt)  # the newest may be what was forgotten
        self._observer.head_challenged(contest.code, seconds)
        _log.info("head_challenged", code=contest.code, p_value=contest.p_value, seconds=round(seconds, 1))
        challenge = challenge_of(
            contest,
            model=ZERO_SHOT,
            catalogue=pupil.catalogue.digest,
            lessons=revision,
            corrections=len(attempt.material.lessons),
            traffic=len(attempt.material.traffic),
            worker_id=self._worker_id,
        )
        if attempt.model is not None:
            self._made = revision, attempt.material
        self._record(self._release(attempt, pupil, learner, challenge, term))

    def _release(
        self, attempt: Attempt, pupil: Pupil, learner: HeadLearner, challenge: Challenge, term: Term
    ) -> Challenge:
        """Have a head served, and before the first one the untaught one, so that there is a way back.

        Returns:
            The challenge with the release's name; without, where there is nothing to release, or the term ended first.
        """
        if attempt.model is None:
            return challenge
        made_for = MadeFor(
            catalogue=challenge.catalogue,
            encoder=pupil.encoder_name,
            lessons=challenge.lessons,
            traffic=challenge.traffic,
            texts=tuple(attempt.material.keys),
        )
        while term.lasts():
            try:
                if not pupil.learnt and not self._goes_back(pupil):
                    untaught = msgspec.structs.replace(made_for, lessons=0, traffic=0, texts=())
                    reason = "Made from the catalogue alone, to go back to."
                    self._acts.promote(
                        ZERO_SHOT, self._push(learner.untaught(), untaught, {}, reason), by=BY, reason=reason
                    )
                release = self._push(attempt.model, made_for, attempt.contest.metrics, challenge.reason)
                begin = self._acts.promote if self._at_once or challenge.code == "forgotten" else self._acts.shadow
                begin(ZERO_SHOT, release, by=BY, reason=challenge.reason)
                return msgspec.structs.replace(challenge, release=release)
            except (UnavailableError, ConflictError, TrialError) as error:
                self._observer.broker_error(error.code)
                _log.warning("head_not_released", reason=str(error), again_seconds=_RETRY_SECONDS)
                term.ending.wait(_RETRY_SECONDS)
        return challenge

    def _goes_back(self, pupil: Pupil) -> bool:
        """Return whether a head for this catalogue serves that was released, be it the untaught one."""
        serving = self._acts.read().serving.get(ZERO_SHOT)
        if serving is None:
            return False
        try:
            check_made_for(fetch_file(serving.location, serving.sha256, MADE_FOR_FILE), pupil.catalogue.digest)
        except UnavailableError:
            return False
        return True

    def _push(self, model: ZeroShotModel, made_for: MadeFor, metrics: Mapping[str, float], reason: str) -> str:
        """Push and announce a head; return the release's name."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / ZERO_SHOT
            make_zero_shot_release(folder, model, made_for, metrics)
            location, sha256, manifest = push_release(folder, self._store)
        return self._acts.announce(location, sha256, manifest, by=BY, reason=reason).release


def _texts_of(record: ModelRelease) -> frozenset[str]:
    """Return the keys of the lessons that a head has learnt; none, where it does not say.

    Raises:
        StoreUnavailableError: It cannot be read now.
    """
    try:
        content = fetch_file(record.location, record.sha256, MADE_FOR_FILE)
        return frozenset(msgspec.json.decode(content, type=MadeFor).texts)
    except (DamagedReleaseError, InvalidLocationError, msgspec.DecodeError):
        return frozenset()  # no worker can try it either
