"""The flags' half of a worker: what follows, writes and serves them, who else is there, and what makes flags climb."""

from __future__ import annotations

import asyncio
import math
import os
import time
from typing import TYPE_CHECKING

import structlog
from confluent_kafka import Consumer, Producer

from flags.clients import follower_config, reader_config, writer_config
from flags.environment import read_overrides
from flags.follower import Follower
from flags.rollouts.controller import Controller
from flags.writer import Writer
from health.probes import FlagsState
from schemas.events import Presence
from streams.clients import client_config, election_consumer_config, presence_producer_config
from streams.evidence import EvidenceReader, judge_now
from streams.experiments import ExperimentEvidence
from streams.flag_routes import FlagRoutes
from streams.flagging import Flags
from streams.fleet.election import Election
from streams.fleet.lease import Lease, lease_clock
from streams.fleet.presence import DELIVERY_MS, PresencePublisher
from streams.fleet.workers import BEATS, Workers
from streams.results import timestamp
from streams.rollouts import RolloutRunner
from streams.services import Rollouts
from streams.topics import DEAD_LETTERS, FLAGS, FLAGS_AUDIT, WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka.admin import AdminClient
    from mode import Service

    from flags.evaluation import Snapshot
    from health.metrics import Metrics
    from schemas.settings import Settings
    from streams.observer import StreamObserver

_log = structlog.get_logger(__name__)

_FLAGS_SECONDS = 5.0
"""How long the first batch waits for the flags; then the last state known on this machine decides."""
_JUDGE_SECONDS = 5.0
"""How long evidence is read for whoever asks how a rollout fares."""
_LOOK_SECONDS = 8.0
"""How long results are read for whoever asks how an experiment fares; who asks again reads on."""


class FlagParts:
    """All of a worker that has to do with flags, built and tied together, not started.

    Args:
        settings: Of everything.
        admin: Tells where logs end.
        observer: Counts.
        broker_away: Returns whether the broker is known to be away.
        release: Returns what this worker answers with, for others to know.
        corrections_revision: Returns by which of people's corrections it answers, likewise.
        keys_offset: Returns up to where it knows which of people's keys are destroyed, likewise.

    Attributes:
        lease: Says whether what this worker knows of the flags still counts.
        workers: This worker's presence, and everybody else's.
        routes: The flags' HTTP routes.
        writer: Writes flags.

    Raises:
        InvalidSettingsError: A flag's override in the environment cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        admin: AdminClient,
        observer: StreamObserver,
        broker_away: Callable[[], bool],
        release: Callable[[], str | None],
        corrections_revision: Callable[[], int],
        keys_offset: Callable[[], int | None],
    ) -> None:
        self._corrections_revision = corrections_revision
        self._keys_offset = keys_offset
        self._settings = settings
        self._admin = admin
        self._observer = observer
        self._release = release
        self._started_at = timestamp(time.time())
        self._expires_seconds = BEATS * settings.worker.presence_seconds
        self.lease = Lease(
            expires_seconds=self._expires_seconds,
            beat=lambda: asyncio.wrap_future(self._presence.beat()),
            catch_up=lambda: self._flags.catch_up(),  # noqa: PLW0108 - it is made below, for it needs the presence
            broker_away=broker_away,
            observer=observer,
        )
        self._presence = self._new_presence()
        self._overrides = read_overrides(os.environ)
        self.writer = self._new_writer()
        self._flags = self._new_flags()
        self.workers = self._new_workers()
        self._rollouts = self._new_rollouts()
        self.routes = self._new_routes()

    @property
    def snapshot(self) -> Snapshot:
        """Return the flags as they stand."""
        return self._flags.follower.snapshot

    @property
    def state(self) -> FlagsState:
        """Return how well the flags are known, for the probes."""
        follower = self._flags.follower
        return FlagsState(
            revision=follower.snapshot.revision,
            age_seconds=follower.age_seconds,
            damaged=follower.damaged,
            lag=follower.lag,
            overrides=self._overrides,
            warnings=follower.snapshot.warnings,
            unsaved=follower.unsaved,
        )

    @property
    def services(self) -> tuple[Service, ...]:
        """Return what is to be started, in this order; `workers` comes before anything else of the worker."""
        return self._flags, self.routes, Rollouts(self._rollouts)

    def wait_until_caught_up(self, seconds: float) -> bool:
        """Return whether the flags have been read to their end, waiting so long for that at most."""
        return self._flags.follower.wait_until_caught_up(seconds)

    def announce(self) -> None:
        """Say at once by what this worker decides now."""
        self._presence.announce()

    def prepare(self) -> None:
        """Say that we are there, and catch up, so that nothing is decided by what the flags once were. Blocks."""
        self._presence.start()
        if not self._flags.follower.wait_until_caught_up(_FLAGS_SECONDS):
            _log.warning("flags_not_caught_up", revision=self.snapshot.revision)

    def show(self, metrics: Metrics) -> None:
        """Have `/metrics` ask what is followed how it is."""
        follower = self._flags.follower
        metrics.flags_age_seconds.set_function(lambda: follower.age_seconds)
        metrics.flags_lag_records.set_function(lambda: math.nan if follower.lag is None else follower.lag)
        metrics.flags_warnings.set_function(lambda: len(follower.snapshot.warnings))
        metrics.flags_damaged.set_function(lambda: len(follower.damaged))
        metrics.workers_live.set_function(lambda: len(self.workers.live()))

    def _new_writer(self) -> Writer:
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
            writer=self.writer,
            announce=self._presence.announce,
            metrics=self._observer,
        )

    def _new_presence(self) -> PresencePublisher:
        settings = self._settings
        config = presence_producer_config(settings, delivery_ms=DELIVERY_MS)
        return PresencePublisher(
            new_producer=lambda: Producer(config),
            topic=WORKERS,
            worker_id=settings.worker.id,
            describe=self._describe,
            acknowledged=self.lease.acknowledged,
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
            admin=self._admin,
            topic=WORKERS,
            observer=self._observer,
            every_seconds=self._settings.worker.presence_seconds,
        )

    def _new_rollouts(self) -> RolloutRunner:
        settings = self._settings
        return RolloutRunner(
            new_election=lambda: Election(lambda: Consumer(election_consumer_config(settings, "rollouts")), FLAGS),
            new_reader=lambda: EvidenceReader(settings),
            judge=lambda flag: judge_now(settings, flag, patience_seconds=_JUDGE_SECONDS),
            follower=self._flags.follower,
            controller=Controller(self.writer, self._observer),
            observer=self._observer,
        )

    def _new_routes(self) -> FlagRoutes:
        client, experiments = client_config(self._settings), ExperimentEvidence(self._settings)
        return FlagRoutes(
            self._settings,
            follower=self._flags.follower,
            writer=self.writer,
            overrides=self._overrides,
            propagation=self.workers,
            hold=self.lease.hold,
            new_consumer=lambda: Consumer(reader_config(client)),
            judge=self._rollouts.judge,
            look=lambda flag, effect: experiments.look(flag, effect, patience_seconds=_LOOK_SECONDS),
        )

    def _describe(self) -> Presence:
        """Return our presence as it is now; on the presence's thread."""
        return Presence(
            worker_id=self._settings.worker.id,
            partitions=self._observer.partitions,
            flags_revision=self.snapshot.revision,
            corrections_revision=self._corrections_revision(),
            keys_offset=self._keys_offset(),
            release=self._release(),
            started_at=self._started_at,
            seen_at=timestamp(time.time()),
            expires_seconds=self._expires_seconds,
        )
