"""The composition root of a worker: builds everything, passes it in, and says in which order it starts."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from confluent_kafka import Consumer, Producer

from flags.api.blocking import BlockingCalls
from health.checks import Dependency, DependencyChecks, Status
from health.dependencies import (
    KafkaDependency,
    ModelServerDependency,
    PostgresDependency,
    RedisDependency,
    ReleaseStoreDependency,
)
from health.logs import configure_logging
from health.metrics import Metrics
from health.middleware import protect
from health.probes import WorkerState
from health.routes import health_routes
from models.release import DISTILBERT
from models.threads import DaemonThread
from schemas.access import Access
from streams.api import ClassifyRoute
from streams.batcher import Batcher
from streams.boot import StreamApp, serve
from streams.brown_out import BrownOut
from streams.classify import Classify
from streams.clients import (
    admin_client,
    answering_producer_config,
    intake_consumer_config,
    transactional_producer_config,
)
from streams.console.feed import Feed
from streams.console.routes import ConsoleRoutes
from streams.console.sampler import Known, Sampler
from streams.contract import contract_routes
from streams.deadletter_routes import DeadLetterRoutes
from streams.deadletters import plan_replay, replay
from streams.decide import FlaggedClassifier
from streams.exchange import Exchange
from streams.flag_parts import FlagParts
from streams.fleet.lease import LeasedDecider
from streams.garbage import collect_seldom
from streams.intake import Intake
from streams.learning.parts import LearningParts
from streams.loop_lag import LoopLag
from streams.model_view import models_state
from streams.observer import StreamObserver
from streams.privacy.parts import Keys, new_person_keys
from streams.publisher import Publisher
from streams.release_parts import ReleaseParts
from streams.reviews import Reviews
from streams.services import Checks, Codec, Models, Side
from streams.side_loop import SideDecider, SideLoop
from streams.sink.parts import SinkParts
from streams.topics import UTTERANCES, apply_topics
from streams.tracing import LastSpans, new_tracing
from streams.transactions import PATIENCE_SECONDS
from streams.trials.parts import TrialParts
from streams.web import WebServer

if TYPE_CHECKING:
    from faust.types import StreamT

    from health.model_probe import ModelsState
    from schemas.settings import Settings
    from streams.batches import Batch

_log = structlog.get_logger(__name__)

_CHANNEL_BATCHES = 1
"""One batch waits while one is answered and one commits; more would only add latency."""

_CHECK_EVERY_SECONDS = 2.0
_REPLAY_SECONDS = 60.0
"""How long who asks for dead letters to be sent again waits; the topic is read from its beginning."""


_SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while another asks for it. Python's own 5 ms, for each of the dozen times
that a flag change or an HTTP request asks, are more than all the rest of its way."""


def run_worker(settings: Settings) -> None:
    """Run a worker until SIGINT or SIGTERM.

    Raises:
        IntentStreamError: It cannot start or go on: the catalogue, a flag, a port, another worker with its id.
    """
    configure_logging(level=settings.logs.level, style=settings.logs.format, worker_id=settings.worker.id)

    sys.setswitchinterval(_SWITCH_SECONDS)
    collect_seldom()

    async def run() -> None:
        await serve(Worker(settings).app)

    asyncio.run(run())


class Worker:
    """One worker's parts, not started. Make it on the event loop that it is to run on.

    They start in this order, and stop in the reverse: HTTP, what is asked in the background, the models, the agent, and
    last the intake, which feeds the agent.

    Args:
        settings: Of everything.

    Raises:
        IntentStreamError: The catalogue or a flag's override cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics(version("intentstream"))
        self._tracing = new_tracing(settings)
        self._observer = StreamObserver(self._metrics, self._tracing)
        self._admin = admin_client(settings)
        self._keys = new_person_keys(
            settings,
            observer=self._observer,
            announce=lambda: self._flags.announce(),  # noqa: PLW0108 - they are made below, for they tell of the keys
            sweeps=True,
        )
        self._flags = FlagParts(
            settings,
            admin=self._admin,
            observer=self._observer,
            broker_away=lambda: self._checks.results["kafka"].status is Status.FAIL,
            release=lambda: self._serving.current.release or None,
            corrections_revision=lambda: self._learning.corrector.current.revision,
            keys_offset=lambda: None if self._keys is None else self._keys.applied,
        )
        self._flags.show(self._metrics)
        self._side = SideLoop("decide")
        self._releases = ReleaseParts(settings, loop=self._side, observer=self._observer)
        self._serving = self._releases.serving
        self._models = Models(self._serving, self._side, self._metrics)
        self._checks = self._new_checks()
        self._brown_out = BrownOut(settings.intake.brown_out_after_seconds, self._observer)
        self._publisher = Publisher(settings)
        self._learning = self._new_learning()
        self._sink = SinkParts(settings, self._observer, self._keys)
        self._trials = self._new_trials()
        self._decider = FlaggedClassifier(
            self._serving,
            lambda: self._flags.snapshot,
            self._observer,
            self._brown_out,
            self._learning.corrector,
            shadow=self._trials.shadow,
        )
        self._leased = LeasedDecider(SideDecider(self._decider, self._side), self._flags.lease)
        self._reviews = Reviews(settings.review, settings.intake.review_below_confidence, self._observer, self._keys)
        self._codec = DaemonThread("codec")
        self._exchange = Exchange(
            new_consumer=lambda: Consumer(intake_consumer_config(settings)),
            new_producer=lambda: Producer(
                answering_producer_config(settings)
                if settings.intake.at_least_once
                else transactional_producer_config(settings)
            ),
            topics=[UTTERANCES],
            drain_seconds=settings.intake.drain_seconds,
            session_seconds=settings.intake.session_timeout_seconds,
            repair=self._prepare_topics,
            observer=self._observer,
            patience_seconds=max(PATIENCE_SECONDS, 4 * settings.intake.transaction_timeout_seconds),
            new_executor=lambda: DaemonThread("transactions"),
            at_least_once=settings.intake.at_least_once,
        )
        for tier in self._serving.current.tiers:
            self._metrics.tier_wanted.labels(tier).set_function(partial(self._is_wanted, tier))
        self.app = StreamApp("intentstream", folder=settings.state_folder)
        self._add_services()

    def _add_services(self) -> None:
        settings = self._settings
        self.app.before_agents += [
            Side(self._side),  # first, and so last to stop: others' parts live there
            self._flags.workers,  # before all else that may stop: what still decides is still there
            *([] if self._tracing is None else [LastSpans(self._tracing)]),
            *([] if self._keys is None else [Keys(self._keys)]),
            WebServer(self._web_application(), settings.web),
            Checks(self._checks),
            LoopLag(self._side, lambda seconds, loop: self._metrics.loop_lag_seconds.observe([seconds], loop)),
            *self._flags.services,
            self._publisher,
            Codec(self._codec),
            self._models,
            self._releases.follower,
            self._learning,
            self._trials,
            self._sink,
        ]
        channel = self.app.new_channel(_CHANNEL_BATCHES)
        self._intake = Intake(
            exchange=self._exchange,
            channel=channel,
            settings=settings.intake,
            prepare=self._prepare,
            observer=self._observer,
        )
        self.app.after_agents.append(self._intake)
        classify = Classify(
            decider=self._leased,
            settings=settings.intake,
            reviews=self._reviews,
            worker_id=settings.worker.id,
            codec=self._codec,
            observer=self._observer,
            brown_out=self._brown_out,
            tracing=self._tracing,
            keys=self._keys,
        )

        async def classify_utterances(batches: StreamT[Batch]) -> None:
            async for batch in batches:
                await self._intake.answer(batch, classify)

        self.app.agent(channel, name="classify")(classify_utterances)

    def _new_learning(self) -> LearningParts:
        return LearningParts(
            self._settings,
            serving=self._serving,
            loop=self._side,
            publisher=self._publisher,
            flags=lambda: self._flags.snapshot,
            wait_for_flags=self._flags.wait_until_caught_up,
            tried=lambda: self._releases.follower.tried,
            network=lambda: self._releases.follower.serving.get(DISTILBERT),
            announce=self._flags.announce,
            keys=self._keys,
            observer=self._observer,
        )

    def _new_trials(self) -> TrialParts:
        return TrialParts(
            self._settings,
            serving=self._serving,
            publisher=self._publisher,
            tried=lambda: self._releases.follower.tried,
            flag_log=self._flags.writer,
            flags=lambda: self._flags.snapshot,
            wait_for_flags=self._flags.wait_until_caught_up,
            browned_out=lambda: self._brown_out.active,
            observer=self._observer,
        )

    def _web_application(self) -> web.Application:
        application = web.Application(client_max_size=self._settings.web.max_request_bytes)
        protect(application, self._metrics, self._settings.web, Access(self._settings.access.tokens))
        application.add_routes(
            health_routes(
                version=version("intentstream"),
                metrics=self._metrics,
                worker_state=self._state,
                models_state=self._models_state,
                dependencies=lambda: self._checks.results,
            )
        )
        classify = ClassifyRoute(
            batcher=Batcher(self._leased, max_waiting=self._settings.web.max_waiting_requests, tracing=self._tracing),
            publisher=self._publisher,
            settings=self._settings.intake,
            reviews=self._reviews,
            observer=self._observer,
            broker_reachable=self._broker_reachable,
            tracing=self._tracing,
        )
        application.add_routes(classify.routes())
        application.add_routes(self._learning.routes.routes())
        application.add_routes(self._sink.routes.routes())
        application.add_routes(self._flags.routes.routes())
        application.add_routes(contract_routes())
        self._releases.routes.mount(application)
        DeadLetterRoutes(
            access=Access(self._settings.access.tokens),
            plan=partial(plan_replay, self._settings),
            replay=partial(replay, self._settings),
            calls=BlockingCalls("dead-letters", threads=1, waiting=1, deadline_seconds=_REPLAY_SECONDS),
        ).mount(application)
        self._console().mount(application)
        return application

    def _console(self) -> ConsoleRoutes:
        settings = self._settings
        known = Known(
            version=version("intentstream"),
            worker_id=settings.worker.id,
            metrics=self._metrics,
            observer=self._observer,
            state=self._state,
            dependencies=lambda: self._checks.results,
            classifier=lambda: self._serving.current,
            workers=self._flags.workers.live,
        )
        sampler = Sampler(known)
        return ConsoleRoutes(
            access=Access(settings.access.tokens),
            feed=Feed(sampler, self._observer, max_viewers=settings.web.max_consoles),
            sampler=sampler,
            known=known,
            flags=lambda: self._flags.snapshot,
            settings=settings,
        )

    def _new_checks(self) -> DependencyChecks:
        dependencies: list[Dependency] = [
            KafkaDependency(self._admin, self._settings.kafka_servers),
            RedisDependency(self._settings.redis_url),
            PostgresDependency(self._settings.postgres_dsn),
        ]
        if store := self._settings.models.store:
            dependencies.append(ReleaseStoreDependency(store))
        if remote := self._serving.current.remote:
            dependencies.append(ModelServerDependency(remote.name, self._probe_remote))
        return DependencyChecks(dependencies, self._metrics, interval_seconds=_CHECK_EVERY_SECONDS)

    async def _probe_remote(self) -> str | None:
        """Ask the server that answers for a tier of what serves now."""
        remote = self._serving.current.remote
        return None if remote is None else await self._side.run(remote.probe())

    def _state(self) -> WorkerState:
        classifier = self._serving.current
        return WorkerState(
            broker_reachable=self._broker_reachable(),
            assigned=self._observer.joined,
            tiers={name: classifier.tiers[name].ready for name in self._decider.tiers_wanted()},
            release=classifier.release or None,
            stopping=self.app.should_stop,
            committing_seconds=self._exchange.committing_seconds(),
            flags=self._flags.state,
            releases_behind=self._releases.follower.behind,
            loaded=self._models.settled,
            sink=self._observer.sink if self._settings.sink.enabled else None,
        )

    def _is_wanted(self, tier: str) -> float:
        return float(tier in self._decider.tiers_wanted())

    def _models_state(self) -> ModelsState:
        return models_state(self._serving.current, self._decider, self._brown_out, self._observer.turns)

    def _broker_reachable(self) -> bool:
        return self._checks.results["kafka"].status is Status.PASS

    def _prepare(self) -> None:
        """Bring the topics in line, and catch up with the flags and with people's keys."""
        self._prepare_topics()
        self._flags.prepare()
        if self._keys is not None:
            self._keys.wait_until_read()

    def _prepare_topics(self) -> None:
        """Bring the topics in line; what is refused is logged, and does not keep a worker from its work."""
        for change in apply_topics(self._admin, self._settings.topics):
            _log.info("topic_changed", topic=change.topic, action=change.action.value, what=change.what)
