"""Where a log ends and whether it is still the same topic, asked of the broker without waiting for the answer.

Offsets alone do not tell that a topic was deleted and made again: the new one may have grown past the old one's end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any

    from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo

_ASK_SECONDS = 1.0
_UNANSWERED_SECONDS = 5.0
"""How long to leave a broker alone that did not answer. While an admin client has a question and no broker, librdkafka
2.13.2 tries to connect without a pause, more than a thousand times a second: most of a processor, for every process."""
_NO_ANSWER = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001 - librdkafka's own errors are named so
        KafkaError._TRANSPORT,  # noqa: SLF001 - likewise
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - likewise
    }
)
_REFUSED_SECONDS = 0.2
"""How long to wait after an answer that was an error. After a pause of the broker it is FENCED_LEADER_EPOCH, until
librdkafka has heard of the new epoch."""


class LogEnd:
    """Where the log ends, as the broker said last.

    Args:
        admin: Asks.
        topic: Of one partition.
        every_seconds: How often to ask: at whole multiples of it by the machine's clock. So all the logs of a process
            are asked for at the same moments, and a broker that is away costs what it would for one of them.

    Attributes:
        offset: The first that is not committed; None: never said.
        asked_at: When the answered question was asked, on the monotonic clock.
    """

    def __init__(self, admin: AdminClient, topic: str, every_seconds: float) -> None:
        self._admin = admin
        self._place = TopicPartition(topic, 0)
        self._every_seconds = every_seconds
        self._asking_since = time.monotonic()
        self._soon = True
        self._end: Future[ListOffsetsResultInfo] | None = None
        self._topic: Future[Any] | None = None
        self._topic_id: str | None = None
        self._replaced = False
        self._pause_seconds = every_seconds
        self.offset: int | None = None
        self.asked_at = float("-inf")

    def ask(self) -> None:
        """Take in an answer if there is one; ask again if it is time."""
        self._take_answers()
        if self._end is not None or self._topic is not None or not (self._soon or self._is_due()):
            return
        self._soon = False
        self._asking_since = time.monotonic()
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client leaves it without types
        (self._end,) = self._admin.list_offsets(
            {self._place: latest}, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_ASK_SECONDS
        ).values()
        (self._topic,) = self._admin.describe_topics(
            TopicCollection([self._place.topic]), request_timeout=_ASK_SECONDS
        ).values()

    def ask_soon(self) -> None:
        """Have the next `ask` not wait for its time. From any thread."""
        self._soon = True

    def is_another_topic(self) -> bool:
        """Return, once, whether the topic has been deleted and made again since it was last asked for."""
        replaced, self._replaced = self._replaced, False
        return replaced

    def _is_due(self) -> bool:
        """Return whether another turn has come since the last question; each lasts as long as the pause."""
        return time.monotonic() // self._pause_seconds > self._asking_since // self._pause_seconds

    def _take_answers(self) -> None:
        if self._end is not None and self._end.done():
            self._take_end(self._end)
            self._end = None
        if self._topic is not None and self._topic.done():
            if self._topic.exception() is None:
                topic_id = str(self._topic.result().topic_id)
                self._replaced = self._topic_id not in {None, topic_id}
                self._topic_id = topic_id
            self._topic = None

    def _take_end(self, answer: Future[ListOffsetsResultInfo]) -> None:
        """Take in where the log ends; below 0 without an error is a broker that kept silent (librdkafka 2.13.2)."""
        failure = answer.exception()
        offset = answer.result().offset if failure is None else -1
        if offset >= 0:
            self.offset, self.asked_at = offset, self._asking_since
            self._pause_seconds = self._every_seconds
            return
        refused = isinstance(failure, KafkaException) and failure.args[0].code() not in _NO_ANSWER
        self._pause_seconds = _REFUSED_SECONDS if refused else _UNANSWERED_SECONDS
