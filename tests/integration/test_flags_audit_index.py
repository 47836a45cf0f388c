"""One flag's history, found in a real audit among everybody else's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from confluent_kafka import Consumer, Producer

from flags import audit_index
from flags.audit_index import AuditIndex
from flags.clients import reader_config
from flags.log_reader import LogReader
from tests.kit.brokers import running_broker
from tests.kit.flags import FlagTopics, turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flags.log_reader import Record


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        yield server.endpoint


@pytest.fixture
def topics(broker: str, tmp_path: Path) -> Iterator[FlagTopics]:
    with FlagTopics(broker, tmp_path) as topics:
        yield topics


class Reader(LogReader):
    """Counts what is read."""

    records = 0

    def read(self, start: int, end: int) -> Iterator[Record]:
        for record in super().read(start, end):
            Reader.records += 1
            yield record


@pytest.fixture
def index(topics: FlagTopics) -> AuditIndex:
    @contextmanager
    def new_reader() -> Iterator[LogReader]:
        topics.settle()
        consumer = Consumer(reader_config(topics.client))
        try:
            yield Reader(consumer, topics.audit)
        finally:
            consumer.close()

    Reader.records = 0
    return AuditIndex(new_reader)


def revisions(index: AuditIndex, name: str, *, before: int | None = None, most: int = 50) -> list[int] | None:
    changes = index.changes_of(name, before=before, most=most)
    assert all(change.name == name for change in changes or [])
    return None if changes is None else [change.revision for change in changes]


def test_a_flags_changes_are_found_among_others_the_newest_first(topics: FlagTopics, index: AuditIndex) -> None:
    writer = topics.writer()
    for name in ("caching", "beta", "caching", "beta", "caching"):
        writer.write(msgspec.structs.replace(turn(name, on=True), create=True))
    assert revisions(index, "caching") == [5, 3, 1]
    assert revisions(index, "caching", most=2) == [5, 3]
    assert revisions(index, "caching", before=5, most=1) == [3]
    assert revisions(index, "caching", before=1) == []
    assert revisions(index, "unheard_of") is None


def test_what_was_read_is_not_read_again_but_for_the_flag_asked_for(
    topics: FlagTopics, index: AuditIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_index, "_WORTH_A_SEEK", 4)
    writer = topics.writer()
    writer.write(turn("caching", on=False))
    for percentage in range(20):
        writer.write(turn("quality_mode", on=True, rollout_percentage=percentage))
    assert revisions(index, "caching") == [1]
    writer.write(turn("caching", on=True))
    Reader.records = 0
    assert revisions(index, "caching") == [22, 1]
    assert Reader.records == 3, "the one that is new, and each of the two from where it stands"


def test_what_a_vandal_wrote_is_no_history(topics: FlagTopics, index: AuditIndex) -> None:
    topics.writer().write(turn("caching", on=False))
    producer = Producer(topics.client)
    producer.produce(topics.audit, b"{}", b"caching")
    producer.produce(topics.audit, b"no JSON", None)
    assert producer.flush(20) == 0
    topics.writer().write(turn("caching", on=True))
    assert revisions(index, "caching") == [2, 1]
