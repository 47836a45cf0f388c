"""Lets one process of the fleet be the one that acts: whoever the group assigns a topic's one partition to.

Nothing is read through it. A process that stops lets go at once; one that is killed is replaced after its session. One
that was frozen may believe in itself for a moment longer: what it does must be harmless by other means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from confluent_kafka import Consumer, KafkaException

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import TopicPartition

_log = structlog.get_logger(__name__)


class Election:
    """One process's candidacy. Blocking; one thread at a time.

    Args:
        new_consumer: Makes a consumer as `streams.clients.election_config` configures it.
        topic: Of one partition.
        purpose: What is done by whoever is elected, for logs.

    Attributes:
        elected: Whether it is us, as far as we have heard.
    """

    def __init__(self, new_consumer: Callable[[], Consumer], topic: str, purpose: str = "rollouts") -> None:
        self.elected = False
        self._purpose = purpose
        self._consumer = new_consumer()
        self._consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def poll(self, seconds: float) -> str | None:
        """Listen for news of the election; return Kafka's name of an error that librdkafka mends by itself, if any."""
        message = self._consumer.poll(seconds)
        error = None if message is None else message.error()
        return None if error is None else error.name()

    def close(self) -> None:
        """Let go, so that another is elected at once."""
        self.elected = False
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if partitions:
            consumer.pause(partitions)
            self._is(elected=True)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        self._is(elected=False)
        try:
            consumer.incremental_unassign(partitions)
        except KafkaException as failure:
            _log.info("election_unassign_failed", code=failure.args[0].name())

    def _is(self, *, elected: bool) -> None:
        if elected != self.elected:
            self.elected = elected
            _log.info("elected" if elected else "retired", purpose=self._purpose)
