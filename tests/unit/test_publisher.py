"""What callers are told of records that stand alone, with no broker to take them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.embedded.ports import free_port
from schemas.errors import UnavailableError
from schemas.server_settings import Kafka
from schemas.settings import Settings
from streams.batches import ANY_PARTITION, Outgoing
from streams.clients import MAX_RECORD_BYTES
from streams.publisher import Publisher
from streams.topics import RESULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    nowhere = Settings(kafka=Kafka(bootstrap_servers=f"127.0.0.1:{free_port()}"))
    publisher = Publisher(nowhere)
    await publisher.on_start()
    yield publisher
    await publisher.on_stop()


def _record(value: bytes) -> Outgoing:
    return Outgoing(RESULTS, value, None, ANY_PARTITION, [])


async def test_a_broker_that_is_away_is_said_within_seconds(publisher: Publisher) -> None:
    with pytest.raises(UnavailableError, match="The broker did not take it"):
        await publisher.publish([_record(b"{}")])


async def test_a_record_that_the_producer_refuses_is_said_too(publisher: Publisher) -> None:
    with pytest.raises(UnavailableError, match="The producer cannot send it"):
        await publisher.publish([_record(bytes(MAX_RECORD_BYTES + 1))])


class FatalOnce:
    """Stands in for a producer, of which the first breaks down for good: librdkafka does so only on a broken log."""

    made: int
    breaks: str

    def __init__(self, _config: object) -> None:
        type(self).made += 1
        self._sound = type(self).made > 1
        self._answers: deque[Callable[[], None]] = deque()
        self.purged = False

    def produce(self, *_record: object, on_delivery: Any, headers: object) -> None:
        del headers
        if self._sound:
            self._answers.append(lambda: on_delivery(None, None))
        elif self.breaks == "at once":
            raise KafkaException(KafkaError(KafkaError._FATAL))
        elif not self._answers:
            fatal = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True)
            self._answers.append(lambda: on_delivery(fatal, None))
        else:  # never answered, unless it is purged
            self._answers.append(lambda: on_delivery(KafkaError(KafkaError._PURGE_QUEUE), None))

    def poll(self, _seconds: float) -> None:
        if not self._sound and self._answers and self.breaks == "at a poll":
            self._answers.clear()  # whoever waits is never told
            raise KafkaException(KafkaError(KafkaError._FATAL, fatal=True))
        if self._answers and (self._sound or len(self._answers) > 1):
            self._answers.popleft()()

    def purge(self) -> None:
        self.purged = True

    def flush(self, _seconds: float) -> None:
        while self._answers and (self._sound or self.purged):
            self._answers.popleft()()


@pytest.mark.parametrize("breaks", ["at once", "at delivery", "at a poll"])
async def test_a_producer_that_broke_for_good_is_replaced_for_the_next_call(
    breaks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FatalOnce, "made", 0, raising=False)
    monkeypatch.setattr(FatalOnce, "breaks", breaks, raising=False)
    monkeypatch.setattr("streams.publisher.Producer", FatalOnce)
    monkeypatch.setattr("streams.publisher._ANSWER_SECONDS", 0.5)
    publisher = Publisher(Settings())
    await publisher.on_start()
    calls = [publisher.publish([_record(b"{}")]) for _ in range(2 if breaks == "at delivery" else 1)]
    answers = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
    assert all(isinstance(answer, UnavailableError) for answer in answers)
    await asyncio.wait_for(publisher.publish([_record(b"{}")]), 10)
    await publisher.on_stop()
    assert FatalOnce.made == 2


async def test_one_that_was_never_started_says_so_and_stops() -> None:
    publisher = Publisher(Settings())
    with pytest.raises(UnavailableError, match="starting or stopping"):
        await publisher.publish([_record(b"{}")])
    await publisher.on_stop()
