"""A broker of a test's own, for those that count every record on our topics or take the broker away."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.embedded.kafka import KafkaProgram
from infra.embedded.ports import free_port
from infra.embedded.server import EmbeddedServer
from schemas.settings import Topics
from streams.topics import apply_topics
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_JARS = Path(__file__).parents[2] / ".intentstream" / "jars"


def new_broker(folder: Path) -> EmbeddedServer:
    """Return a broker on a free port, not started."""
    return EmbeddedServer(KafkaProgram(jars=_JARS), folder=folder, port=free_port())


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
    admin = AdminClient({"bootstrap.servers": broker})
    apply_topics(admin, Topics(partitions=partitions))
    wait_until(lambda: _can_be_read(admin), "every partition has a leader")


def _can_be_read(admin: AdminClient) -> bool:
    topics = admin.list_topics(timeout=20).topics
    places = [TopicPartition(name, partition) for name in topics for partition in topics[name].partitions]
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client leaves it without types
    try:
        for answer in admin.list_offsets(dict.fromkeys(places, latest)).values():
            answer.result(20)
    except KafkaException:
        return False
    return True
