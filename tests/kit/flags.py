"""The flags' topics, writers and followers of one test, on topics of its own."""

from __future__ import annotations

import logging
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic

from flags.admin import admin_client
from flags.clients import follower_config, reader_config, writer_config
from flags.edits import Edit
from flags.follower import Follower
from flags.log_reader import LogReader
from flags.writer import Writer
from tests.kit.brokers import wait_until_decided
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from flags.evaluation import Snapshot
    from flags.log_reader import Record
    from flags.refusals import RefusedRecord

_quiet = logging.getLogger("tests.librdkafka")
_quiet.setLevel(logging.CRITICAL)  # brokers go away here on purpose


class Seen:
    """What a follower met."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.records: list[RefusedRecord] = []
        self.errors: list[str] = []

    def applied(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def refused(self, record: RefusedRecord) -> None:
        self.records.append(record)

    def broker_error(self, code: str) -> None:
        self.errors.append(code)

    def unexpected(self, guard: str) -> None:
        raise AssertionError(guard)


class FlagTopics:
    """A changelog and an audit of a test's own; all that reads and writes them ends with it."""

    def __init__(self, broker: str, folder: Path, *, changelog_config: dict[str, str] | None = None) -> None:
        name = f"flags-{uuid.uuid4().hex[:8]}"
        self.changelog, self.audit, self.group = name, f"{name}-audit", name
        self.dead_letters = f"{name}-dead-letters"
        self.buried: list[RefusedRecord] = []
        self.client: dict[str, Any] = {"bootstrap.servers": broker, "logger": _quiet, "reconnect.backoff.max.ms": 500}
        self.admin = admin_client({"bootstrap.servers": broker, "logger": _quiet})
        self._folder = folder
        self._changelog_config = {"cleanup.policy": "compact"} | (changelog_config or {})
        self._stack = ExitStack()
        self.create()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def create(self) -> None:
        topics = [NewTopic(self.changelog, 1, 1, config=self._changelog_config)]
        if self.audit not in self.admin.list_topics(timeout=20).topics:
            topics += [NewTopic(self.audit, 1, 1), NewTopic(self.dead_letters, 1, 1)]
        for made in self.admin.create_topics(topics).values():
            made.result(20)

    def delete_changelog(self) -> None:
        self.admin.delete_topics([self.changelog])[self.changelog].result(20)
        wait_until(lambda: self.changelog not in self.admin.list_topics(timeout=20).topics, "the changelog is gone")

    def writer(
        self,
        worker_id: str = "writer",
        *,
        producer: type[Producer] = Producer,
        consumer: type[Consumer] = Consumer,
    ) -> Writer:
        writer = Writer(
            new_producer=lambda: producer(writer_config(self.client, self.group)),
            new_consumer=lambda: consumer(reader_config(self.client)),
            topic=self.changelog,
            audit_topic=self.audit,
            dead_letter_topic=self.dead_letters,
            worker_id=worker_id,
            buried=self.buried.append,
        )
        self._stack.callback(writer.close)
        return writer

    def follower(self, *, name: str = "follower", seen: Seen | None = None) -> Follower:
        """Return a follower that has reached the end once, of which nothing that was written before is missing."""
        self.settle()
        follower = self.new_follower(name=name, seen=seen)
        follower.start()
        assert follower.wait_until_caught_up(20)
        return follower

    def new_follower(self, *, name: str = "follower", seen: Seen | None = None) -> Follower:
        follower = Follower(
            new_consumer=lambda: Consumer(follower_config(self.client)),
            admin=self.admin,
            topic=self.changelog,
            overrides={},
            last_known=self._folder / f"{name}.json",
            observer=seen or Seen(),
            check_seconds=0.2,
            save_seconds=0.2,
        )
        self._stack.callback(follower.stop)
        return follower

    def settle(self) -> None:
        """Return when whoever reads the changelog or the audit finds all that was written."""
        for topic in (self.changelog, self.audit):
            wait_until_decided(self.admin, topic)

    def records(self, topic: str | None = None) -> list[Record]:
        """Return what stands on the changelog, or on another topic, once no transaction is under way."""
        wait_until_decided(self.admin, topic or self.changelog)
        consumer = Consumer(reader_config(self.client))
        try:
            reader = LogReader(consumer, topic or self.changelog)
            return list(reader.read(*reader.bounds()))
        finally:
            consumer.close()

    def write_by_hand(self, key: bytes | None, value: bytes | None) -> None:
        producer = Producer(self.client)
        producer.produce(self.changelog, value, key, headers=[("who", b"a vandal")])
        assert producer.flush(20) == 0


def turn(name: str, *, on: bool, **fields: Any) -> Edit:
    """Return an edit that switches a flag."""
    return Edit(name=name, fields={"enabled": on, **fields}, changed_by="tests", reason="a test")
