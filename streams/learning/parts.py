"""A worker's part in learning: what takes feedback, guards it, answers by it and retrains by it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Producer
from mode import Service

from flags.clients import follower_config, reader_config
from models.learning.corrector import Corrector
from models.learning.verdicts import Judge
from models.release import DISTILBERT
from schemas.access import Access
from streams.clients import (
    admin_client,
    client_config,
    election_consumer_config,
    evidence_consumer_config,
    guard_consumer_config,
    guard_producer_config,
    producer_config,
)
from streams.fleet.election import Election
from streams.learning.audit import write_to_audit
from streams.learning.candidates import candidates_of
from streams.learning.desk import GuardDesk
from streams.learning.feedback_route import FeedbackRoute
from streams.learning.guard import GuardRunner
from streams.learning.learner import HeadLearning, Pupil
from streams.learning.lesson_log import LessonFollower
from streams.learning.network_learning import NetworkLearning
from streams.learning.network_watch import Champions, NetworkWatch
from streams.learning.teaching import Place, Teaching
from streams.learning.traffic import read_traffic
from streams.release_acts import ReleaseActs
from streams.topics import CORRECTIONS
from streams.transactions import Transactions

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Sequence

    from flags.evaluation import Snapshot
    from models.learning.lessons import Lessons
    from models.learning.material import Material
    from models.serving import Serving
    from models.training.assignment import Assignment
    from models.training.contest import Contest
    from models.training.learner import HeadLearner
    from schemas.events import Challenge, ModelRelease, TrialVerdict
    from schemas.settings import Settings
    from streams.observer import StreamObserver
    from streams.privacy.person_keys import PersonKeys
    from streams.publisher import Publisher
    from streams.side_loop import SideLoop

_CANDIDATES_SECONDS = 10.0
"""How long the guard waits for what the classifier thinks; then it begins anew."""


class LearningParts(Service):
    """All of a worker that has to do with corrections, built and tied together; as a service, for what it starts.

    Args:
        settings: Of everything.
        serving: What answers where nobody corrected.
        loop: Where that lives.
        publisher: Who puts feedback on its topic.
        flags: Returns the flags as they stand.
        wait_for_flags: Returns whether they have been read to their end, waiting so many seconds for that at most.
        tried: Returns the release that is tried beside what serves, as followed here.
        network: Returns the fine-tuned network that was announced to serve, likewise.
        announce: Called when other lessons decide; must not block.
        keys: Open and seal texts; None: all are plain.
        observer: Counts.

    Attributes:
        corrector: Answers as people corrected.
        routes: Takes feedback over HTTP.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        serving: Serving,
        loop: SideLoop,
        publisher: Publisher,
        flags: Callable[[], Snapshot],
        wait_for_flags: Callable[[float], bool],
        tried: Callable[[], ModelRelease | None],
        network: Callable[[], ModelRelease | None],
        announce: Callable[[], None],
        keys: PersonKeys | None,
        observer: StreamObserver,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._keys = keys
        self._serving = serving
        self._network = network
        self._side = loop
        self._observer = observer
        self.corrector = Corrector(
            lambda: serving.current.surroundings,
            deadline_seconds=settings.chain.tier_deadline_seconds,
            observer=observer,
        )
        config = follower_config(client_config(settings))
        self._follower = LessonFollower(
            new_consumer=lambda: Consumer(config),
            admin=admin_client(settings),
            topic=CORRECTIONS,
            learner=self.corrector,
            announce=announce,
            observer=observer,
            keys=keys,
        )
        self._guard = GuardRunner(
            new_election=partial(self._new_election, "guard"),
            new_desk=self._new_desk,
            flags=flags,
            wait_for_flags=wait_for_flags,
            observer=observer,
        )
        acts = ReleaseActs(settings)
        self._learner = HeadLearning(
            new_election=partial(self._new_election, "learner"),
            new_reader=self._new_reader,
            pupil=self._pupil,
            new_learner=self._new_learner,
            traffic=self._traffic,
            acts=acts,
            tried=tried,
            at_once=self._at_once,
            store=self._store,
            record=self._record,
            flags=flags,
            wait_for_flags=wait_for_flags,
            worker_id=settings.worker.id,
            observer=observer,
            keys=keys,
            most_texts=settings.learning.max_texts,
            networks=NetworkWatch(
                Champions(self._network_served),
                tried=tried,
                acts=acts,
                record=self._record,
                worker_id=settings.worker.id,
                most=settings.learning.max_texts,
            ),
        )
        self._network_learner = self._new_network_learner(flags, wait_for_flags, tried)
        self.routes = FeedbackRoute(
            access=Access(settings.access.tokens),
            publisher=publisher,
            max_text_characters=settings.intake.max_text_characters,
            keys=keys,
        )

    async def on_start(self) -> None:
        """Begin to follow the lessons, and become a candidate for guarding them and for learning from them."""
        self._follower.start()
        self._guard.start()
        self._learner.start()
        self._network_learner.start()

    async def on_stop(self) -> None:
        """Let others guard and learn at once; what was learnt goes on answering."""
        await asyncio.to_thread(self._network_learner.stop)
        await asyncio.to_thread(self._learner.stop)
        await asyncio.to_thread(self._guard.stop)
        await asyncio.to_thread(self._follower.stop)
        self.corrector.close()

    def _new_election(self, duty: str) -> Election:
        return Election(lambda: Consumer(election_consumer_config(self._settings, duty)), CORRECTIONS, duty)

    def _new_reader(self) -> Consumer:
        return Consumer(reader_config(client_config(self._settings)))

    def _record(self, event: Challenge | TrialVerdict) -> None:
        write_to_audit(Producer(producer_config(self._settings)), event)

    def _new_network_learner(
        self,
        flags: Callable[[], Snapshot],
        wait_for_flags: Callable[[float], bool],
        tried: Callable[[], ModelRelease | None],
    ) -> NetworkLearning:
        settings, acts = self._settings, ReleaseActs(self._settings)
        teaching = Teaching(
            Place(
                store=self._store,
                fetched=settings.state_folder / "teaching",
                max_bytes=settings.models.max_release_bytes,
                threads=settings.models.threads,
                most_texts=settings.learning.max_texts,
            ),
            traffic=self._traffic,
            attempt=_attempt_apart,
            acts=acts,
            at_once=self._at_once,
            serving=self._network_served,
            tried=tried,
            worker_id=settings.worker.id,
        )
        return NetworkLearning(
            teaching,
            Champions(self._network_served),
            pupil=self._pupil,
            tried=tried,
            acts=acts,
            after=settings.learning.fine_tune_after,
            most_texts=settings.learning.max_texts,
            record=self._record,
            new_election=partial(self._new_election, "network-learner"),
            new_reader=self._new_reader,
            flags=flags,
            wait_for_flags=wait_for_flags,
            observer=self._observer,
            keys=self._keys,
        )

    @property
    def _at_once(self) -> bool:
        return self._settings.learning.release_by == "at_once"

    @property
    def _store(self) -> str:
        settings = self._settings
        return settings.models.store or str((settings.state_folder / "releases").resolve())

    # On the learners' threads.

    def _network_served(self) -> ModelRelease | None:
        """Return the network that was announced to serve; None where a server answers in its place."""
        return None if self._serving.current.stood_in_for(DISTILBERT) else self._network()

    def _traffic(self) -> list[str]:
        """Return what was said lately."""
        return read_traffic(
            lambda: Consumer(evidence_consumer_config(self._settings)),
            texts=self._settings.learning.traffic_texts,
            max_text_characters=self._settings.intake.max_text_characters,
            keys=self._keys,
        )

    def _pupil(self) -> Pupil | None:
        """Return what serves; None where it has no head, and until it has what tells distances, which comes last."""
        classifier = self._serving.current
        if classifier.surroundings is None or classifier.preparation.by_nli:
            return None
        made, encoder = classifier.preparation, classifier.surroundings.encoder
        if (learnt := made.learnt) is None:
            return Pupil(made.catalogue, encoder, made.encoder_name)
        return Pupil(made.catalogue, encoder, made.encoder_name, learnt.lessons, frozenset(learnt.texts))

    def _new_learner(self, pupil: Pupil, tried: int, champion: Material | None) -> HeadLearner:
        from models.training.learner import HeadLearner  # noqa: PLC0415 - imports scikit-learn

        learning = self._settings.learning
        return HeadLearner(
            pupil.catalogue,
            pupil.encoder,
            learnt=pupil.learnt,
            texts=pupil.texts,
            tried=tried,
            after=learning.retrain_after,
            most=learning.max_texts,
            champion=champion,
        )

    # On the guard's thread.

    def _new_desk(self, stopping: threading.Event) -> GuardDesk:
        settings = self._settings
        return GuardDesk(
            Transactions(
                lambda: Producer(guard_producer_config(settings)),
                repair=lambda: None,
                stopping=stopping,
                observer=self._observer,
            ),
            new_consumer=lambda: Consumer(guard_consumer_config(settings)),
            new_reader=self._new_reader,
            new_judge=self._new_judge,
            labels=lambda: self._serving.current.labels,
            candidates=self._candidates,
            worker_id=settings.worker.id,
            observer=self._observer,
            keys=self._keys,
        )

    def _new_judge(self, lessons: Lessons) -> Judge:
        return Judge(
            lessons,
            lambda: self._serving.current.labels,
            self._settings.learning,
            max_text_characters=self._settings.intake.max_text_characters,
        )

    def _candidates(self, texts: Sequence[str]) -> list[Collection[str | None]]:
        """Return what the classifier thinks of each text, whatever people said of it."""
        return self._side.wait_for(candidates_of(self._serving, texts), _CANDIDATES_SECONDS)


def _attempt_apart(assignment: Assignment, goes_on: Callable[[], bool]) -> Contest | None:
    from models.training.apart import attempt_apart  # noqa: PLC0415 - imports SciPy

    return attempt_apart(assignment, goes_on=goes_on)
