"""Counts what arrives on a topic by its offsets, so that nobody has to read it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka.admin import ListOffsetsResultInfo

_EVERY_SECONDS = 0.5
_TIMEOUT_SECONDS = 10.0


class Arrivals:
    """Records of a topic since this was made. Markers of producers' transactions count as records.

    Attributes:
        counted: As last asked for.
    """

    def __init__(self, admin: AdminClient, topic: str) -> None:
        """Note where the topic ends.

        Raises:
            UnavailableError: The broker is away.
        """
        self.counted = 0
        self._admin = admin
        try:
            partitions = admin.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
            latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # theirs has no types
            self._latest = {TopicPartition(topic, partition): latest for partition in partitions}
            self._before = _sum(self._ask())
        except KafkaException as error:
            raise UnavailableError(f"The broker does not tell where {topic} ends: {error.args[0].str()}.") from error
        self._asked: dict[TopicPartition, Future[ListOffsetsResultInfo]] = {}
        self._asked_at = 0.0

    def count(self) -> None:
        """Take up what the broker answered, and ask again now and then; never waits. Call this often."""
        if self._asked and all(answer.done() for answer in self._asked.values()):
            with contextlib.suppress(KafkaException, UnavailableError):  # it is away; it is asked again
                self.counted = _sum(self._asked) - self._before
            self._asked = {}
        if not self._asked and time.monotonic() - self._asked_at > _EVERY_SECONDS:
            self._asked, self._asked_at = self._ask(), time.monotonic()

    def _ask(self) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        return self._admin.list_offsets(self._latest, request_timeout=_TIMEOUT_SECONDS)


def _sum(answers: dict[TopicPartition, Future[ListOffsetsResultInfo]]) -> int:
    offsets = [answer.result(_TIMEOUT_SECONDS).offset for answer in answers.values()]
    if min(offsets, default=0) < 0:  # librdkafka 2.13.2: a broker that kept silent is no error
        raise UnavailableError("The broker does not tell where its partitions end.")
    return sum(offsets)
