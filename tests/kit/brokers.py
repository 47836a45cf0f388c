"""A broker of a test's own, for those that count every record on our topics or take the broker away."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from flags.admin import admin_client
from infra.embedded.kafka import KafkaProgram
from infra.embedded.ports import free_port
from infra.embedded.server import EmbeddedServer
from schemas.settings import Topics
from streams.topics import apply_topics
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

JARS = Path(__file__).parents[2] / ".intentstream" / "jars"


def new_broker(folder: Path) -> EmbeddedServer:
    """Return a broker on a free port, not started."""
    return EmbeddedServer(KafkaProgram(jars=JARS), folder=folder, port=free_port())


@contextmanager
def running_broker(folder: Path) -> Iterator[EmbeddedServer]:
    """Run a broker without topics; whatever a test does to it, it is gone afterwards."""
    server = new_broker(folder)
    try:
        server.start()
        yield server
    finally:
        server.resume()
        server.stop()


def create_our_topics(broker: str, partitions: int = 8) -> None:
    """Make all our topics on a broker, and return when every partition can be read."""
    admin = admin_client({"bootstrap.servers": broker})
    apply_topics(admin, Topics(partitions=partitions))
    wait_until(lambda: _can_be_read(admin), "every partition has a leader")


def wait_until_decided(admin: AdminClient, topic: str) -> None:
    """Return when no transaction is open on a topic, so that its readers find all that anybody was told is committed.

    A commit is acknowledged before its markers stand on every partition.
    """

    def is_decided() -> bool:
        committed = _ends(admin, [topic], IsolationLevel.READ_COMMITTED)
        return committed is not None and committed == _ends(admin, [topic], IsolationLevel.READ_UNCOMMITTED)

    wait_until(is_decided, f"every transaction on {topic} has ended")


def _can_be_read(admin: AdminClient) -> bool:
    return _ends(admin, list(admin.list_topics(timeout=20).topics), IsolationLevel.READ_UNCOMMITTED) is not None


def _ends(admin: AdminClient, names: list[str], isolation: IsolationLevel) -> dict[TopicPartition, int] | None:
    """Return where each partition ends; None where a topic is not known everywhere yet, or has no leader."""
    topics = admin.list_topics(timeout=20).topics
    if not topics.keys() >= set(names):
        return None
    places = [TopicPartition(name, partition) for name in names for partition in topics[name].partitions]
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client leaves it without types
    answers = admin.list_offsets(dict.fromkeys(places, latest), isolation_level=isolation)
    try:
        return {place: int(answer.result(20).offset) for place, answer in answers.items()}
    except KafkaException:
        return None
