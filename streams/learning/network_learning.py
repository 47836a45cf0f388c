"""Teaches the fine-tuned network what people corrected, in one worker of the fleet, and releases what is better.

A network that was pushed and promoted is its owner's. What is taught begins at that each time, in a process of its own,
and goes the way of any release; if a text is forgotten that it has learnt, the owner's takes its place at once.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import structlog

from flags.errors import ConflictError
from flags.log_reader import LogReader
from models.learning.lessons import Lessons
from models.learning.material import forgotten, gather, learnable
from models.release import DISTILBERT, DamagedReleaseError
from models.store import InvalidLocationError, fetch_file, fetch_release, push_release
from models.taught_network import TAUGHT_FILE, Taught
from models.training.assignment import Folders
from schemas.errors import UnavailableError
from schemas.events import Challenge
from streams.fleet.duty import DutyObserver, DutyThread
from streams.learning.guard import is_learning, may_be_on
from streams.learning.lesson_log import follow_lessons
from streams.learning.tried import Tried
from streams.privacy.parts import opening
from streams.release_log import TrialError, UnknownReleaseError
from streams.results import timestamp
from streams.topics import CORRECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Consumer

    from flags.evaluation import Snapshot
    from models.learning.material import Material
    from models.training.assignment import Assignment
    from models.training.contest import Contest
    from schemas.events import ModelRelease, TrialVerdict
    from streams.fleet.duty import Term
    from streams.fleet.election import Election
    from streams.learning.learner import Pupil
    from streams.privacy.person_keys import PersonKeys
    from streams.release_acts import ReleaseActs

_log = structlog.get_logger(__name__)

BY = "network-learner"
"""Who releases, as the releases' log names it."""

WANTED = "distilbert_model"
"""The flag that has users answered by the network; where nobody is, nothing is taught."""

_LOOK_SECONDS = 1.0
"""Between two looks at the corrections."""
_RETRY_SECONDS = 30.0
"""Until a release that was made is announced again, where that failed: it took minutes to make."""


class NetworkObserver(DutyObserver, Protocol):
    """Who counts and shows. Called on the duty's thread; must not block."""

    def network_learning(self, *, active: bool) -> None:
        """Show whether it is this worker that teaches the network."""

    def network_challenged(self, code: str, seconds: float) -> None:
        """Count a taught network by what came of it, and how long that took."""


class Champion(NamedTuple):
    """The network that serves."""

    record: ModelRelease
    taught: Taught
    """What it has learnt since its owner trained it; of the owner's own: nothing."""


class NetworkLearning:
    """Teaches, on a thread, while this worker is the one elected to, the flags let it, and a network serves.

    Args:
        new_election: Makes our candidacy.
        new_reader: Makes a consumer as `flags.clients.reader_config` configures it.
        pupil: Returns what serves; None while that has no encoder.
        serving: Returns the network that was announced to serve, as followed here.
        tried: Returns the release that is tried beside what serves, likewise.
        traffic: Returns what was said lately.
        attempt: Has an assignment done, as `models.training.apart.attempt_apart`.
        acts: Announce and promote.
        at_once: Whether what is better is promoted without a trial.
        store: Where releases are pushed to.
        fetched: Folder of the releases that were fetched.
        max_bytes: What a release may have.
        after: So many new corrections are worth an attempt.
        most_texts: So many texts are remembered.
        threads: Of training, on a processor.
        record: Writes to the audit what came of a network.
        flags: Returns the flags as they stand.
        wait_for_flags: Returns whether they have been read to their end, waiting so many seconds for that at most.
        worker_id: Who we are.
        observer: Who counts.
        keys: Open what is sealed.
    """

    def __init__(
        self,
        *,
        new_election: Callable[[], Election],
        new_reader: Callable[[], Consumer],
        pupil: Callable[[], Pupil | None],
        serving: Callable[[], ModelRelease | None],
        tried: Callable[[], ModelRelease | None],
        traffic: Callable[[], Sequence[str]],
        attempt: Callable[[Assignment, Callable[[], bool]], Contest | None],
        acts: ReleaseActs,
        at_once: bool,
        store: str,
        fetched: Path,
        max_bytes: int,
        after: int,
        most_texts: int,
        threads: int,
        record: Callable[[Challenge | TrialVerdict], None],
        flags: Callable[[], Snapshot],
        wait_for_flags: Callable[[float], bool],
        worker_id: str,
        observer: NetworkObserver,
        keys: PersonKeys | None = None,
    ) -> None:
        self._new_reader = new_reader
        self._pupil = pupil
        self._serving = serving
        self._tried_now = tried
        self._traffic = traffic
        self._try = attempt
        self._acts = acts
        self._at_once = at_once
        self._store = store
        self._fetched = fetched
        self._max_bytes = max_bytes
        self._after = after
        self._most = most_texts
        self._threads = threads
        self._record = record
        self._flags = flags
        self._worker_id = worker_id
        self._observer = observer
        self._keys = keys
        self._standing: Champion | None = None
        self._attempted: dict[str, int] = {}
        self._watch = Tried(
            DISTILBERT,
            lambda tried: taught_of(tried).texts,
            acts=acts,
            record=record,
            by=BY,
            worker_id=worker_id,
            most=most_texts,
        )
        self._thread = DutyThread(
            "network-learner", self, new_election=new_election, wait_for_flags=wait_for_flags, observer=observer
        )

    def start(self) -> None:
        """Become a candidate, on a thread that keeps no process from ending, if this machine can teach."""
        if not self._after:
            return
        if missing := [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]:
            _log.info("network_not_taught_here", missing=missing)
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
            log, lessons, place = LogReader(reader, CORRECTIONS), Lessons(), 0
            self._observer.network_learning(active=True)
            while term.lasts(_LOOK_SECONDS):
                place = follow_lessons(log, lessons, place, opening(self._keys))
                champion, pupil, tried = self._champion(), self._pupil(), self._tried_now()
                if tried is not None:
                    self._watch.see_that_it_may_stay(tried, lessons)
                if champion is None or pupil is None:
                    continue
                if lost := forgotten(lessons, champion.taught.texts, most=self._most):
                    self._go_back(champion, lost)
                elif tried is None and self._enough(champion, pupil, lessons):
                    self._attempt(champion, pupil, lessons, term)
        finally:
            reader.close()

    def rest(self) -> None:
        """Show that it is not this worker that teaches."""
        self._observer.network_learning(active=False)

    def _champion(self) -> Champion | None:
        """Return the network that was announced to serve, if one was."""
        record = self._serving()
        if record is None:
            return None
        if self._standing is None or self._standing.record.sha256 != record.sha256:
            self._standing = Champion(record, taught_of(record))
        return self._standing

    def _enough(self, champion: Champion, pupil: Pupil, lessons: Lessons) -> bool:
        """Return whether there are enough corrections that no attempt has seen."""
        tried = max(champion.taught.lessons, self._tried_up_to(champion))
        known = learnable(pupil.catalogue, lessons)
        return sum(lesson.revision > tried for lesson in known) >= self._after

    def _tried_up_to(self, champion: Champion) -> int:
        """Return the revision that was learnt by the latest network that was made of the same owner's, served or not.

        What was withdrawn or rolled back is not made again of the same corrections.
        """
        owner = champion.taught.owner
        if owner not in self._attempted:
            made = [taught_of(record) for record in self._acts.read().pushed(DISTILBERT) if record.changed_by == BY]
            self._attempted[owner] = max((each.lessons for each in made if each.owner == owner), default=0)
        return self._attempted[owner]

    def _go_back(self, champion: Champion, lost: int) -> None:
        """Have the owner's network serve again: what is taught next begins there, and learns nothing that is gone."""
        current = self._acts.read().serving.get(DISTILBERT)
        if current is None or current.release != champion.record.release:
            return  # something else serves, which we are about to hear of
        reason = f"{lost} of the texts that {champion.record.release} had learnt were forgotten."
        try:
            self._acts.promote(DISTILBERT, champion.taught.owner, by=BY, reason=reason)
        except (ConflictError, UnknownReleaseError) as error:
            _log.warning("network_not_taken_back", reason=str(error))
            return
        self._attempted[champion.taught.owner] = 0  # of what is left there may be enough
        _log.info("network_taken_back", release=champion.record.release, forgotten=lost)

    def _attempt(self, champion: Champion, pupil: Pupil, lessons: Lessons, term: Term) -> None:
        begun, owner = time.monotonic(), champion.taught.owner
        material = gather(pupil.catalogue, lessons, self._traffic())
        with tempfile.TemporaryDirectory() as scratch:
            folders = Folders(
                self._folder(self._acts.read().find(DISTILBERT, owner)),
                self._folder(champion.record),
                Path(scratch) / DISTILBERT,
            )
            contest = self._contest(champion, pupil, material, folders=folders, revision=lessons.revision, term=term)
            if contest is None:
                return
            seconds = time.monotonic() - begun
            self._observer.network_challenged(contest.code, seconds)
            _log.info("network_challenged", code=contest.code, p_value=contest.p_value, seconds=round(seconds, 1))
            challenge = Challenge(
                model=DISTILBERT,
                code=contest.code,
                reason=contest.reason,
                catalogue=pupil.catalogue.digest,
                lessons=lessons.revision,
                corrections=len(material.lessons),
                traffic=len(material.traffic),
                texts=contest.texts,
                champion=contest.champion,
                challenger=contest.challenger,
                p_value=contest.p_value,
                judged_by=self._worker_id,
                judged_at=timestamp(time.time()),
            )
            if contest.promoted:
                challenge = self._release(folders.out, challenge, term)
            self._record(challenge)

    def _contest(
        self, champion: Champion, pupil: Pupil, material: Material, *, folders: Folders, revision: int, term: Term
    ) -> Contest | None:
        """Return what came of teaching; None where it could not be done, or the term ended first."""
        from models.training.assigning import assign  # noqa: PLC0415 - imports scikit-learn

        begun, owner = time.monotonic(), champion.taught.owner
        try:
            assignment = assign(
                material,
                pupil.encoder,
                folders,
                owner=owner,
                learnt=champion.taught.lessons,
                lessons=revision,
                threads=self._threads,
            )
            contest = self._try(assignment, term.lasts)
        except UnavailableError as error:
            self._attempted[owner] = revision  # another minute of the same would fail in the same way
            self._observer.network_challenged("failed", time.monotonic() - begun)
            _log.error("network_not_taught", release=champion.record.release, reason=str(error))
            return None
        if contest is not None:
            self._attempted[owner] = revision
        return contest

    def _folder(self, record: ModelRelease) -> Path:
        return fetch_release(record.location, record.sha256, self._fetched, max_bytes=self._max_bytes)

    def _release(self, folder: Path, challenge: Challenge, term: Term) -> Challenge:
        """Have a network tried, or served; return the challenge with its release, or without where the term ended."""
        while term.lasts():
            try:
                location, sha256, manifest = push_release(folder, self._store)
                release = self._acts.announce(location, sha256, manifest, by=BY, reason=challenge.reason).release
                begin = self._acts.promote if self._at_once else self._acts.shadow
                begin(DISTILBERT, release, by=BY, reason=challenge.reason)
                return msgspec.structs.replace(challenge, release=release)
            except (UnavailableError, ConflictError, TrialError) as error:
                self._observer.broker_error(error.code)
                _log.warning("network_not_released", reason=str(error), again_seconds=_RETRY_SECONDS)
                term.ending.wait(_RETRY_SECONDS)
        return challenge


def taught_of(record: ModelRelease) -> Taught:
    """Return what a network has learnt since its owner trained it; of the owner's own, and one that does not say, none.

    Raises:
        StoreUnavailableError: It cannot be read now.
    """
    try:
        return msgspec.json.decode(fetch_file(record.location, record.sha256, TAUGHT_FILE), type=Taught)
    except (DamagedReleaseError, InvalidLocationError, msgspec.DecodeError):
        return Taught(owner=record.release, lessons=0)
