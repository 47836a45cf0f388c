"""The topics of a pipeline's benchmark: what is said, when it is answered, and from where each side begins."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from infra.background import Background
from infra.chaos.utterances import distinct
from schemas.errors import UnavailableError
from streams.clients import admin_client, client_config, producer_config
from streams.topics import RESULTS, UTTERANCES, apply_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.settings import Settings

_Told = TypeVar("_Told")

_ANSWER_SECONDS = 30
_FETCH_SECONDS = 0.02
_BURST_SECONDS = 0.01
_CONVERSATIONS = 1_009
_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


class Answer(NamedTuple):
    """A result: whose number it has, when the broker appended it, and when a reader had it, in Unix seconds.

    Of ours, also what it says of itself: for how many seconds it waited, and for how many it was classified.
    """

    number: int
    appended_at: float
    seen_at: float
    queue_seconds: float = 0.0
    classify_seconds: float = 0.0


class _Timings(msgspec.Struct, frozen=True):
    queue_seconds: float
    classify_seconds: float


_UNTIMED = _Timings(0.0, 0.0)


class _Answered(msgspec.Struct):
    utterance_id: str
    timings: _Timings = _UNTIMED


class Said:
    """The utterances, each another text.

    Args:
        settings: Where the broker is.
        texts: What is said, in this order; again, with a number behind, once all have been.
    """

    def __init__(self, settings: Settings, texts: Sequence[str]) -> None:
        self._producer = Producer(producer_config(settings) | {"queue.buffering.max.messages": 1_000_000})
        self._texts = distinct(texts)
        self._run = 0
        self.sent_at: list[float] = []

    def begin(self) -> str:
        """Begin a run; return how the ids of its utterances begin."""
        self._run += 1
        self.sent_at = []
        return f"{self._run}-"

    def burst(self, count: int) -> None:
        """Publish so many as fast as it goes; return when the broker has them.

        Raises:
            UnavailableError: It did not take them.
        """
        for _ in range(count):
            self._say()
        if self._producer.flush(_ANSWER_SECONDS):
            raise UnavailableError("The broker did not take the benchmark's utterances.")

    def steadily(self, per_second: float, seconds: float) -> None:
        """Publish at a steady rate, for so long."""
        begun = time.time()
        while (passed := time.time() - begun) < seconds:
            while len(self.sent_at) < passed * per_second:
                self._say()
            self._producer.poll(_BURST_SECONDS)
        self._producer.flush(_ANSWER_SECONDS)

    def _say(self) -> None:
        number = len(self.sent_at)
        said = {"id": f"{self._run}-{number}", "text": next(self._texts), "user_id": f"user-{number % 997}"}
        self.sent_at.append(time.time())
        self._producer.produce(UTTERANCES, msgspec.json.encode(said), b"conversation-%d" % (number % _CONVERSATIONS))


class Listener(Background):
    """Reads a topic of results from its end on, as a read_committed reader does. Use as a context manager.

    Args:
        settings: Where the broker is.
        topic: Which.
        prefix: How the ids begin that count.
    """

    def __init__(self, settings: Settings, topic: str, prefix: str) -> None:
        super().__init__("bench-listener")
        self.answers: list[Answer] = []
        self._prefix = prefix
        self._consumer = Consumer(
            client_config(settings)
            | {"group.id": "bench-listener", "isolation.level": "read_committed", "enable.auto.commit": False}
            | {"fetch.wait.max.ms": 10}
        )
        self._consumer.assign(ends(self._consumer, topic))

    def stop(self) -> None:
        """Listen no more."""
        super().stop()
        self._consumer.close()

    def wait(self, count: int, seconds: float) -> None:
        """Return when so many answers are there, or the time is over."""
        deadline = time.monotonic() + seconds
        while len(self.answers) < count and time.monotonic() < deadline:
            self.ending.wait(0.05)

    def run(self) -> None:
        """Take note of every answer."""
        decoder = msgspec.json.Decoder(_Answered)
        while not self.ending.is_set():
            first = self._consumer.poll(_FETCH_SECONDS)  # `consume` would wait until there are as many as asked for
            seen_at = time.time()
            records = [] if first is None else [first, *self._consumer.consume(2_000, 0)]
            for record in records:
                if record.error() is None and record.value() is not None:
                    said = decoder.decode(record.value() or b"")
                    if said.utterance_id.startswith(self._prefix):
                        number, appended_at = int(said.utterance_id.removeprefix(self._prefix)), record.timestamp()[1]
                        own = said.timings.queue_seconds, said.timings.classify_seconds
                        self.answers.append(Answer(number, appended_at / 1000, seen_at, *own))


def make_topics(settings: Settings, sinks: Sequence[str]) -> None:
    """Make ours and those that the peers write to; all tell when the broker appended what."""
    admin = admin_client(settings)
    apply_topics(admin, settings.topics)
    copies = settings.topics.replication_factor
    wanted = [NewTopic(name, settings.topics.partitions, copies, config=_APPEND_TIME) for name in sinks]
    for made in admin.create_topics(wanted).values() if wanted else ():
        made.result(_ANSWER_SECONDS)
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in _APPEND_TIME.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, RESULTS, incremental_configs=entries)
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(_ANSWER_SECONDS)


def begin_at_end(settings: Settings, group: str) -> None:
    """Have a group that has no members begin at the end of the utterances.

    Raises:
        UnavailableError: The broker takes no offsets, although it has had some time.
    """
    consumer = Consumer(client_config(settings) | {"group.id": group, "enable.auto.commit": False})
    try:
        _persist(lambda: consumer.commit(offsets=ends(consumer, UTTERANCES), asynchronous=False), "Offsets")
    finally:
        consumer.close()


def ends(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """Return where each partition of a topic ends.

    Raises:
        UnavailableError: One has no leader, although it has had some time.
    """
    partitions = consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic].partitions
    return [TopicPartition(topic, partition, _end(consumer, topic, partition)) for partition in partitions]


def _end(consumer: Consumer, topic: str, partition: int) -> int:
    place = TopicPartition(topic, partition)
    _, end = _persist(lambda: consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS), f"{topic}/{partition}")
    return int(end)


def _persist(ask: Callable[[], _Told], what: str) -> _Told:
    """Ask a broker that was just started until it can tell: leaders and coordinators take a moment."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise UnavailableError(f"{what}: the broker does not answer: {error}") from error
            time.sleep(_BURST_SECONDS)
