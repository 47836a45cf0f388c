"""Records that are no utterances, of every kind we could think of."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer
from aiokafka.producer import message_accumulator
from aiokafka.producer import producer as producer_module
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from infra.chaos.poison import MARK, small_kinds
from infra.chaos.utterances import Record
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    import pytest

_MEGABYTE = 1_048_588 - 200
"""The largest record that the topic takes, less what surrounds the value."""

_INFLATED = 5 * 1024 * 1024

_BURSTING = 70 * 1024 * 1024

_RARE = 10
"""How many of the large ones there are."""

_GOOD = json.dumps({"text": f"{MARK} good"}).encode()


def large_kinds(chance: random.Random) -> list[Record]:
    """Return records that are as large as the topic takes them."""
    return [
        Record(chance.randbytes(_MEGABYTE), "large"),
        Record(json.dumps({"text": "x" * (_MEGABYTE - 20)}).encode(), "large"),
        Record(b"not JSON", chance.randbytes(_MEGABYTE)),
        Record(b"not JSON", "large", [("large", chance.randbytes(_MEGABYTE))]),
        Record(_GOOD[:-1] + b" " * (_MEGABYTE - len(_GOOD)), "large"),
    ]


def inflating_kinds() -> list[Record]:
    """Return records that the topic takes only compressed."""
    return [
        Record(json.dumps({"text": "z" * _INFLATED}).encode(), "inflating"),
        Record(b"\x00" * _INFLATED, "inflating"),
        Record(b"[" * _INFLATED, "inflating"),
        Record(b"not JSON", b"k" * _INFLATED),
        Record(b"not JSON", "inflating", [("inflating", b"h" * _INFLATED)]),
    ]


def bursting_kinds() -> list[Record]:
    """Return records that no dead letter can hold once they are decompressed."""
    return [
        Record(b"not JSON" + b"v" * _BURSTING, "bursting"),
        Record(b"not JSON", b"k" * _BURSTING),
        Record(b"not JSON", "bursting", [("bursting", b"h" * _BURSTING)]),
    ]


def hostile(count: int, chance: random.Random) -> Iterator[Record]:
    """Yield so many hostile records, large ones among them, in random order."""
    large = large_kinds(chance) * (_RARE // 5)
    kinds = itertools.islice(itertools.cycle(small_kinds()), count - len(large))
    records = [*kinds, *large]
    chance.shuffle(records)
    yield from records


async def publish_with_unreadable_header_name(
    broker: str, patch: pytest.MonkeyPatch, *, topic: str = UTTERANCES, key: bytes = b"name", value: bytes = _GOOD
) -> None:
    """Publish a record with a header whose name is not UTF-8, which no well-meaning client does."""
    for module in (message_accumulator, producer_module):
        patch.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        await producer.send_and_wait(topic, value, key=key, headers=[(_NotText("name"), b"1")])


class _NotText(str):
    """Text that claims to be other bytes."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"
