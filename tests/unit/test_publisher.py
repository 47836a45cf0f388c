"""What callers are told of records that stand alone, with no broker to take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.embedded.ports import free_port
from schemas.errors import UnavailableError
from schemas.settings import Kafka, Settings
from streams.batches import ANY_PARTITION, Outgoing
from streams.clients import MAX_RECORD_BYTES
from streams.publisher import Publisher
from streams.topics import RESULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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


async def test_one_that_was_never_started_says_so_and_stops() -> None:
    publisher = Publisher(Settings())
    with pytest.raises(UnavailableError, match="starting or stopping"):
        await publisher.publish([_record(b"{}")])
    await publisher.on_stop()
