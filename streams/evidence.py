"""Reads results and corrections for comparisons, from when each began: group-less, and only what is committed.

What was read is not kept anywhere: whoever begins anew reads the log again and knows the same.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import TYPE_CHECKING, Self

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flags.comparison import Comparison, SeenCorrection, SeenResult
from flags.rollouts.acts import UNDER_WAY, rollout_of, since
from flags.rollouts.status import judged, status_of
from schemas.errors import UnavailableError
from streams.clients import evidence_consumer_config
from streams.topics import FEEDBACK, RESULTS

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from confluent_kafka import Message

    from flags.comparison import Since
    from flags.rollouts.status import RolloutStatus
    from schemas.events import FlagChange
    from schemas.settings import Settings

_FETCH = 2_000
_POLL_SECONDS = 0.1
_CURRENT_SECONDS = 1.0
_ASK_SECONDS = 5.0
_CLOCKS_SECONDS = 30.0
"""By how much clocks may differ: reading begins so much earlier, and revisions say what counts."""

_results = msgspec.json.Decoder(SeenResult)
_corrections = msgspec.json.Decoder(SeenCorrection)

_Place = tuple[str, int]


class EvidenceReader:
    """Feeds comparisons. Blocking; one thread at a time. Use as a context manager.

    Args:
        settings: Where the broker is.
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(evidence_consumer_config(settings))
        self._followed: dict[Since, Followed] = {}
        self._newest: dict[_Place, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def follow(self, wanted: Collection[Since]) -> None:
        """Compare these from now on, and nothing else; what is compared already goes on where it is.

        Raises:
            UnavailableError: The broker does not say where to begin; nothing has changed.
        """
        new = {
            since: Followed(
                Comparison(since), places_at(self._consumer, (RESULTS, FEEDBACK), since.seconds - _CLOCKS_SECONDS)
            )
            for since in wanted
            if since not in self._followed
        }
        self._followed = {since: followed for since, followed in self._followed.items() if since in wanted} | new
        if new or not self._followed:
            self._assign()

    def resume(self, followed: Followed) -> None:
        """Compare this from now on, and nothing else, from where another reader stopped."""
        self._followed = {followed.comparison.since: followed}
        self._assign()

    def followed(self, since: Since) -> Followed:
        """Return what has been seen and how far was read, for another reader to go on with.

        Raises:
            KeyError: It is not followed.
        """
        return self._followed[since]

    def comparison(self, since: Since) -> Comparison | None:
        """Return what has been seen, if it is followed."""
        followed = self._followed.get(since)
        return None if followed is None else followed.comparison

    def read(self, seconds: float) -> bool:
        """Feed what has arrived, at once if something has, else after `seconds` at most.

        Returns:
            Whether anything came.
        """
        first = self._consumer.poll(seconds)
        if first is None:
            return False
        for message in (first, *self._consumer.consume(_FETCH, 0)):
            error = message.error()
            place = (message.topic() or "", message.partition() or 0)
            if error is None:
                self._take(message, place)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
                self._newest[place] = math.inf
        return True

    @property
    def behind_seconds(self) -> float:
        """Return how old the newest record is that was read of the partition that is furthest behind.

        0 where every partition was read to its end, as far as the broker told us; infinite where one was not read yet.
        """
        return max(0.0, time.time() - min(self._newest.values(), default=-math.inf))

    def _take(self, message: Message, place: _Place) -> None:
        offset, at_seconds = message.offset() or 0, message.timestamp()[1] / 1000
        self._newest[place] = at_seconds
        fed = [followed.comparison for followed in self._followed.values() if followed.reaches(place, offset)]
        value = message.value()
        if not fed or value is None:
            return
        if place[0] == RESULTS:
            result = _read_result(value)
            if result is not None:
                for comparison in fed:
                    comparison.see_result(result, at_seconds)
        else:
            correction = _read_correction(value)
            if correction is not None:
                for comparison in fed:
                    comparison.see_correction(correction, at_seconds)

    def _assign(self) -> None:
        """Stand where the one that is furthest back wants to read next."""
        starts: dict[_Place, int] = {}
        for followed in self._followed.values():
            for place, offset in followed.positions.items():
                starts[place] = min(offset, starts.get(place, offset))
        self._newest = dict.fromkeys(starts, -math.inf)
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])


class Followed:
    """A comparison and, for each partition, the next offset that it has not seen."""

    def __init__(self, comparison: Comparison, positions: dict[_Place, int]) -> None:
        self.comparison = comparison
        self.positions = positions

    def reaches(self, place: _Place, offset: int) -> bool:
        """Return whether a record is new to it, and take note of it."""
        if offset < self.positions.get(place, 0):
            return False
        self.positions[place] = offset + 1
        return True


def places_at(consumer: Consumer, topics: Collection[str], moment: float) -> dict[_Place, int]:
    """Return for each partition the first offset that is not older than a moment; where there is none, its end.

    The ends are asked for first: what comes between the two questions is after them, and so it is read.

    Args:
        consumer: Asks.
        topics: Whose partitions.
        moment: Unix time.

    Raises:
        UnavailableError: The broker does not say.
    """
    try:
        wanted = [
            TopicPartition(topic, partition, int(max(0.0, moment) * 1000))
            for topic in topics
            for partition in consumer.list_topics(topic, _ASK_SECONDS).topics[topic].partitions
        ]
        ends = {
            (each.topic, each.partition): consumer.get_watermark_offsets(each, timeout=_ASK_SECONDS)[1]
            for each in wanted
        }
        found = consumer.offsets_for_times(wanted, _ASK_SECONDS)
        return {place: ends[place] if offset is None else offset for place, offset in map(_place_and_offset, found)}
    except KafkaException as failure:
        raise UnavailableError(f"The broker does not tell where to read from: {failure.args[0].str()}.") from failure


def _place_and_offset(found: TopicPartition) -> tuple[_Place, int | None]:
    """Return where a partition is to be read from; None where nothing is younger than what was asked for.

    Raises:
        KafkaException: The broker does not say.
    """
    if found.error is not None:
        raise KafkaException(found.error)
    return (found.topic, found.partition), found.offset if found.offset >= 0 else None


def _read_result(value: bytes) -> SeenResult | None:
    """Return a result that may count; most say that nobody is compared, and are not even decoded."""
    if b'"exposures"' not in value:
        return None
    try:
        return _results.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):  # somebody else's record; it is no result
        return None


def _read_correction(value: bytes) -> SeenCorrection | None:
    if b'"person_id"' not in value:
        return None
    try:
        return _corrections.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a confirmation
        return None


def judge_now(settings: Settings, flag: FlagChange, *, patience_seconds: float) -> RolloutStatus:
    """Return where a flag's rollout stands and what is to be done, by what the log says now. Blocking.

    Whoever runs the rollouts reads the same and comes to the same; so anybody can tell, and nobody has to be asked.

    Args:
        settings: Where the broker is.
        flag: With a rollout.
        patience_seconds: How long to read; if that is too short, the status says how far behind it is.

    Raises:
        UnavailableError: The broker is away.
        ValueError: The flag has no rollout.
    """
    rollout, begin = rollout_of(flag), since(flag)
    if rollout.state not in UNDER_WAY:
        return status_of(flag, rollout)
    deadline = time.monotonic() + patience_seconds
    with EvidenceReader(settings) as reader:
        reader.follow([begin])
        while reader.behind_seconds > _CURRENT_SECONDS and time.monotonic() < deadline:
            reader.read(_POLL_SECONDS)
        comparison = reader.comparison(begin) or Comparison(begin)
        return judged(flag, rollout, comparison, dt.datetime.now(dt.UTC), behind_seconds=reader.behind_seconds)
