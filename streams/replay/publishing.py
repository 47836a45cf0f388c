"""Publishes what would be answered, on a topic that says by its name that nothing on it counts."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import msgspec

from schemas.cloudevents import event_headers
from schemas.errors import IntentStreamError
from schemas.events import CE_TYPES, Result
from streams.counting_producer import CountingProducer
from streams.results import result_of, timestamp, timings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.settings import Settings
    from streams.past.search import PastReader
    from streams.replay.stretch import Answered
    from streams.results import Decision

PREFIX = "intents.replay."
"""What the name of every topic begins with that a replay may write to; none of ours does."""

REPLAY_OF = "intentstream.replay.of-result"
"""The last header of what a replay publishes: the id of the result that it stands beside."""

_NAME = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9._-]{1,200}")
_DELIVERY_SECONDS = 30.0

_encoder = msgspec.json.Encoder()
_TYPE = CE_TYPES[Result]


class RefusedTopicError(IntentStreamError):
    """A topic that a replay does not write to; the message says which it would."""

    code = "refused_topic"
    http_status = 422
    exit_code = 64


def check_topic(reader: PastReader, topic: str) -> None:
    """Return if a replay may write to a topic, and it is there.

    Raises:
        RefusedTopicError: It may not, or it is not.
        UnavailableError: The broker is away.
    """
    if not _NAME.fullmatch(topic):
        raise RefusedTopicError(
            f"A replay is never published to {topic}: it writes to topics whose names begin with {PREFIX} and to no "
            f"others, such as {PREFIX}next."
        )
    if not reader.partitions(topic):
        raise RefusedTopicError(f"There is no topic {topic}; create it first, as your broker's topics are made.")


class ReplayPublisher:
    """Writes what would be answered beside what was: same id, same key.

    Args:
        settings: Where the broker is.
        topic: That was checked.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._producer = CountingProducer(settings, timeout_seconds=_DELIVERY_SECONDS)
        self._topic = topic

    def publish(self, before: Answered, decision: Decision) -> None:
        """Hand over one answer.

        Raises:
            UnavailableError: The broker takes nothing more.
        """
        was = before.result
        result = result_of(before.received, decision, timings_of(decision, queue_seconds=0.0), was.source)
        headers = [*event_headers(_TYPE, result.id, timestamp(time.time()), None), (REPLAY_OF, was.id.encode())]
        self._producer.send(self._topic, _encoder.encode(result), before.key, headers)

    def finish(self) -> tuple[int, Mapping[str, int]]:
        """Wait for the rest; return how many were delivered, and how often each reason kept one from being."""
        self._producer.finish()
        return self._producer.delivered, dict(self._producer.failures)

    def abandon(self) -> None:
        """Drop what is still queued."""
        self._producer.abandon()
