"""What a worker has of the flags on a real broker, and as many candidates for running rollouts as a test wants."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, Producer

from flags.admin import admin_client
from flags.clients import follower_config, reader_config, writer_config
from flags.follower import Follower
from flags.history import read_history
from flags.log_reader import LogReader
from flags.rollouts.controller import Controller
from flags.writer import Writer
from streams.clients import client_config, election_consumer_config
from streams.evidence import EvidenceReader, judge_now
from streams.fleet.election import Election
from streams.rollouts import RolloutRunner, utc_now
from streams.topics import DEAD_LETTERS, FLAGS, FLAGS_AUDIT
from tests.kit.flags import Seen

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from schemas.events import FlagChange
    from schemas.settings import Settings
    from tests.kit.rollouts import Judged

ELECTED_MS = {"session.timeout.ms": 30_000}
"""Whoever is elected stays it while the broker is frozen, or slow: what is shown is how it judges then."""


class FlagFleet:
    """A writer and a follower, both of the worker that the settings name; all ends with it.

    Args:
        settings: The worker's; the follower's last-known flags lie in its state folder.

    Attributes:
        stack: What is to end, too.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.broker = settings.kafka_servers
        self.stack = ExitStack()
        self._client = client_config(settings)
        self.writer = self.new_writer()
        self.follower = Follower(
            new_consumer=lambda: Consumer(follower_config(self._client)),
            admin=admin_client({"bootstrap.servers": self.broker}),
            topic=FLAGS,
            overrides={},
            last_known=settings.state_folder / f"{settings.worker.id}.json",
            observer=Seen(),
            check_seconds=0.2,
        )
        self.follower.start()
        self.stack.callback(self.follower.stop)
        assert self.follower.wait_until_caught_up(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clean()
        self.stack.close()

    def clean(self) -> None:
        """Take back what others on the same broker would see."""

    def new_writer(self) -> Writer:
        writer = Writer(
            new_producer=lambda: Producer(writer_config(self._client, self.settings.worker.group_id)),
            new_consumer=lambda: Consumer(reader_config(self._client)),
            topic=FLAGS,
            audit_topic=FLAGS_AUDIT,
            dead_letter_topic=DEAD_LETTERS,
            worker_id=self.settings.worker.id,
        )
        self.stack.callback(writer.close)
        return writer

    def candidate(self, judged: Judged, *, clock: Callable[[], dt.datetime] = utc_now) -> RolloutRunner:
        """Stand for running rollouts."""
        election = election_consumer_config(self.settings, "rollouts") | ELECTED_MS
        runner = RolloutRunner(
            new_election=lambda: Election(lambda: Consumer(election), FLAGS),
            new_reader=lambda: EvidenceReader(self.settings),
            judge=lambda flag: judge_now(self.settings, flag, patience_seconds=10.0),
            follower=self.follower,
            controller=Controller(self.new_writer(), judged),
            observer=judged,
            clock=clock,
        )
        runner.start()
        self.stack.callback(runner.stop)
        return runner

    def audited(self, name: str) -> list[FlagChange]:
        """Return what was ever done to a flag, as the audit has it."""
        consumer = Consumer(reader_config(self._client))
        try:
            return [change for change in read_history(LogReader(consumer, FLAGS_AUDIT)) if change.name == name]
        finally:
            consumer.close()
