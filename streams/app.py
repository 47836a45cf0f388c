"""The composition root of a worker: builds everything, passes it in, and says in which order it starts."""

from __future__ import annotations

import asyncio
import math
import os
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from confluent_kafka import Consumer, Producer

from flags.clients import follower_config, reader_config, writer_config
from flags.environment import read_overrides
from flags.follower import Follower
from flags.rollouts.controller import Controller
from flags.writer import Writer
from health.checks import Dependency, DependencyChecks, Status
from health.dependencies import KafkaDependency, ModelServerDependency, PostgresDependency, RedisDependency
from health.logs import configure_logging
from health.metrics import Metrics
from health.middleware import protect
from health.probes import FlagsState, WorkerState
from health.routes import health_routes
from models.catalogue import default_catalogue_path, load_catalogue
from models.classifier import Classifier
from models.threads import DaemonThread
from schemas.events import Presence
from streams.api import ClassifyRoute
from streams.batcher import Batcher
from streams.boot import StreamApp, serve
from streams.brown_out import BrownOut
from streams.classify import Classify
from streams.clients import (
    admin_client,
    client_config,
    election_consumer_config,
    intake_consumer_config,
    presence_producer_config,
    transactional_producer_config,
)
from streams.contract import contract_routes
from streams.decide import FlaggedClassifier
from streams.election import Election
from streams.evidence import EvidenceReader, judge_now
from streams.exchange import Exchange
from streams.flag_routes import FlagRoutes
from streams.flagging import Flags
from streams.intake import Intake
from streams.lease import Lease, LeasedDecider, lease_clock
from streams.observer import StreamObserver
from streams.presence import DELIVERY_MS, PresencePublisher
from streams.publisher import Publisher
from streams.results import timestamp
from streams.rollouts import RolloutRunner
from streams.services import Checks, Codec, Models, Rollouts
from streams.topics import DEAD_LETTERS, FLAGS, FLAGS_AUDIT, UTTERANCES, WORKERS, apply_topics
from streams.web import WebServer
from streams.workers import BEATS, Workers

if TYPE_CHECKING:
    from faust.types import StreamT

    from schemas.settings import Settings
    from streams.batches import Batch

_log = structlog.get_logger(__name__)

_CHANNEL_BATCHES = 1
"""One batch waits while one is answered and one commits; more would only add latency."""

_CHECK_EVERY_SECONDS = 2.0
_JUDGE_SECONDS = 5.0
"""How long evidence is read for whoever asks how a rollout fares."""

_FLAGS_SECONDS = 5.0
"""How long the first batch waits for the flags; then the last state known on this machine decides."""


def run_worker(settings: Settings) -> None:
    """Run a worker until SIGINT or SIGTERM.

    Raises:
        IntentStreamError: It cannot start or go on: the catalogue, a flag, a port, another worker with its id.
    """
    configure_logging(level=settings.logs.level, style=settings.logs.format, worker_id=settings.worker.id)

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
        self._observer = StreamObserver(self._metrics)
        self._admin = admin_client(settings)
        self._started_at = timestamp(time.time())
        self._expires_seconds = BEATS * settings.worker.presence_seconds
        self._lease = Lease(
            expires_seconds=self._expires_seconds,
            beat=lambda: asyncio.wrap_future(self._presence.beat()),
            catch_up=lambda: self._flags.catch_up(),  # noqa: PLW0108 - it is made below, for it needs the presence
            broker_away=lambda: self._checks.results["kafka"].status is Status.FAIL,
            observer=self._observer,
        )
        self._presence = self._new_presence()
        self._overrides = read_overrides(os.environ)
        self._flag_writer = self._new_flag_writer()
        self._flags = self._new_flags()
        self._workers = self._new_workers()
        self._rollouts = self._new_rollouts()
        self._flag_routes = self._new_flag_routes()
        self._show_followers()
        catalogue = load_catalogue(settings.models.catalogue or default_catalogue_path())
        self._classifier = Classifier(settings, catalogue, observer=self._observer)
        self._checks = self._new_checks()
        self._brown_out = BrownOut(settings.intake.brown_out_after_seconds, self._observer)
        self._decider = FlaggedClassifier(
            self._classifier, lambda: self._flags.follower.snapshot, self._observer, self._brown_out
        )
        self._leased = LeasedDecider(self._decider, self._lease)
        self._codec = DaemonThread("codec")
        self._publisher = Publisher(settings)
        self._exchange = Exchange(
            new_consumer=lambda: Consumer(intake_consumer_config(settings)),
            new_producer=lambda: Producer(transactional_producer_config(settings)),
            topics=[UTTERANCES],
            drain_seconds=settings.intake.drain_seconds,
            repair=self._prepare_topics,
            observer=self._observer,
        )
        self.app = StreamApp("intentstream", folder=settings.state_folder)
        self._add_services()

    def _add_services(self) -> None:
        settings = self._settings
        self.app.before_agents += [
            self._workers,  # first, and so last to stop: what still decides is still there
            WebServer(self._web_application(), settings.web),
            Checks(self._checks),
            self._flags,
            self._flag_routes,
            Rollouts(self._rollouts),
            self._publisher,
            Codec(self._codec),
            Models(self._classifier, self._metrics),
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
            worker_id=settings.worker.id,
            codec=self._codec,
            observer=self._observer,
            brown_out=self._brown_out,
        )

        async def classify_utterances(batches: StreamT[Batch]) -> None:
            async for batch in batches:
                await self._intake.answer(batch, classify)

        self.app.agent(channel, name="classify")(classify_utterances)

    def _new_flag_writer(self) -> Writer:
        settings, client = self._settings, client_config(self._settings)
        return Writer(
            new_producer=lambda: Producer(writer_config(client, settings.worker.group_id)),
            new_consumer=lambda: Consumer(reader_config(client)),
            topic=FLAGS,
            audit_topic=FLAGS_AUDIT,
            dead_letter_topic=DEAD_LETTERS,
            worker_id=settings.worker.id,
            buried=lambda record: self._observer.dead_lettered(record.refusal.code),
        )

    def _new_flag_routes(self) -> FlagRoutes:
        client = client_config(self._settings)
        return FlagRoutes(
            self._settings,
            follower=self._flags.follower,
            writer=self._flag_writer,
            overrides=self._overrides,
            propagation=self._workers,
            hold=self._lease.hold,
            new_consumer=lambda: Consumer(reader_config(client)),
            judge=self._rollouts.judge,
        )

    def _new_flags(self) -> Flags:
        settings, client = self._settings, client_config(self._settings)
        return Flags(
            new_follower=lambda observer: Follower(
                new_consumer=lambda: Consumer(follower_config(client)),
                admin=self._admin,
                topic=FLAGS,
                overrides=self._overrides,
                last_known=settings.state_folder / "flags.json",
                observer=observer,
            ),
            writer=self._flag_writer,
            announce=self._presence.announce,
            metrics=self._observer,
        )

    def _new_rollouts(self) -> RolloutRunner:
        settings = self._settings
        return RolloutRunner(
            new_election=lambda: Election(lambda: Consumer(election_consumer_config(settings, "rollouts")), FLAGS),
            new_reader=lambda: EvidenceReader(settings),
            judge=lambda flag: judge_now(settings, flag, patience_seconds=_JUDGE_SECONDS),
            follower=self._flags.follower,
            controller=Controller(self._flag_writer, self._observer),
            observer=self._observer,
        )

    def _show_followers(self) -> None:
        """Have `/metrics` ask what is followed how it is."""
        follower, metrics = self._flags.follower, self._metrics
        metrics.flags_age_seconds.set_function(lambda: follower.age_seconds)
        metrics.flags_lag_records.set_function(lambda: math.nan if follower.lag is None else follower.lag)
        metrics.flags_damaged.set_function(lambda: len(follower.damaged))
        metrics.workers_live.set_function(lambda: len(self._workers.live()))

    def _new_presence(self) -> PresencePublisher:
        settings = self._settings
        config = presence_producer_config(settings, delivery_ms=DELIVERY_MS)
        return PresencePublisher(
            new_producer=lambda: Producer(config),
            topic=WORKERS,
            worker_id=settings.worker.id,
            describe=self._describe,
            acknowledged=self._lease.acknowledged,
            observer=self._observer,
            clock=lease_clock,
            every_seconds=settings.worker.presence_seconds,
        )

    def _new_workers(self) -> Workers:
        config = follower_config(client_config(self._settings))
        return Workers(
            worker_id=self._settings.worker.id,
            started_at=self._started_at,
            publisher=self._presence,
            new_consumer=lambda: Consumer(config),
            topic=WORKERS,
            observer=self._observer,
            every_seconds=self._settings.worker.presence_seconds,
        )

    def _describe(self) -> Presence:
        """Return our presence as it is now; on the presence's thread."""
        return Presence(
            worker_id=self._settings.worker.id,
            partitions=self._observer.partitions,
            flags_revision=self._flags.follower.snapshot.revision,
            release=self._classifier.release or None,
            started_at=self._started_at,
            seen_at=timestamp(time.time()),
            expires_seconds=self._expires_seconds,
        )

    def _web_application(self) -> web.Application:
        application = web.Application(client_max_size=self._settings.web.max_request_bytes)
        protect(application, self._metrics, self._settings.web)
        application.add_routes(
            health_routes(
                version=version("intentstream"),
                metrics=self._metrics,
                worker_state=self._state,
                dependencies=lambda: self._checks.results,
            )
        )
        classify = ClassifyRoute(
            batcher=Batcher(self._leased, max_waiting=self._settings.web.max_waiting_requests),
            publisher=self._publisher,
            settings=self._settings.intake,
            observer=self._observer,
            broker_reachable=self._broker_reachable,
        )
        application.add_routes(classify.routes())
        application.add_routes(self._flag_routes.routes())
        application.add_routes(contract_routes())
        return application

    def _new_checks(self) -> DependencyChecks:
        dependencies: list[Dependency] = [
            KafkaDependency(self._admin),
            RedisDependency(self._settings.redis_url),
            PostgresDependency(self._settings.postgres_dsn),
        ]
        if self._classifier.remote:
            dependencies.append(ModelServerDependency(self._classifier.remote))
        return DependencyChecks(dependencies, self._metrics, interval_seconds=_CHECK_EVERY_SECONDS)

    def _state(self) -> WorkerState:
        tiers, follower = self._classifier.tiers, self._flags.follower
        return WorkerState(
            broker_reachable=self._broker_reachable(),
            assigned=self._observer.joined,
            tiers={name: tiers[name].ready for name in self._decider.tiers_wanted()},
            release=self._classifier.release or None,
            stopping=self.app.should_stop,
            committing_seconds=self._exchange.committing_seconds(),
            flags=FlagsState(
                revision=follower.snapshot.revision, age_seconds=follower.age_seconds, damaged=follower.damaged
            ),
        )

    def _broker_reachable(self) -> bool:
        return self._checks.results["kafka"].status is Status.PASS

    def _prepare(self) -> None:
        """Bring the topics in line and catch up with the flags, so that nothing is decided by what they once were."""
        self._prepare_topics()
        self._presence.start()
        if not self._flags.follower.wait_until_caught_up(_FLAGS_SECONDS):
            _log.warning("flags_not_caught_up", revision=self._flags.follower.snapshot.revision)

    def _prepare_topics(self) -> None:
        """Bring the topics in line; what is refused is logged, and does not keep a worker from its work."""
        for change in apply_topics(self._admin, self._settings.topics):
            _log.info("topic_changed", topic=change.topic, action=change.action.value, what=change.what)
