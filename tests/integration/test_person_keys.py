"""People's keys on a real broker: two who need one at once get the same, and what is destroyed is gone for all."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from flags.admin import admin_client
from schemas.errors import InvalidEventError
from schemas.events import PersonKey
from streams.privacy.person_keys import PersonKeys
from streams.topics import KEYS
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.person_keys import everything, master_key_file, sealing_settings
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAID = "where is my parcel?"
PEOPLE = [f"person-{number}" for number in range(20)]
COMPACTION_SECONDS = 3.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        create_our_topics(server.endpoint, partitions=2)
        yield server.endpoint


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return master_key_file(tmp_path_factory.mktemp("secret"))


@pytest.fixture
def holders(broker: str, file: Path) -> Iterator[list[PersonKeys]]:
    """Three processes' worth of keys, over one log."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(PersonKeys(sealing_settings(broker, file, f"worker-{number}"), file))
            for number in range(3)
        ]


def fault_of(keys: PersonKeys, key_id: str, text: str) -> str:
    with pytest.raises(InvalidEventError) as raised:
        keys.opening()(key_id, text)
    return raised.value.code


def test_what_one_has_sealed_all_open_at_once(holders: list[PersonKeys]) -> None:
    sealed = holders[0].seal("ada", SAID)
    assert [keys.opening()(*sealed) for keys in holders] == [SAID] * 3


def test_all_who_need_a_key_at_the_same_moment_get_the_same(holders: list[PersonKeys]) -> None:
    with ThreadPoolExecutor(3) as pool:
        sealed = list(pool.map(lambda keys: keys.seal_all([(person, SAID) for person in PEOPLE]), holders))
    ids = [[each.key_id for each in those] for those in sealed]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids[0])) == len(PEOPLE)
    assert all(keys.opening()(*each) == SAID for keys in holders for those in sealed for each in those)


def test_what_is_destroyed_nobody_opens_and_who_speaks_again_has_another_key(holders: list[PersonKeys]) -> None:
    first, second, third = holders
    before = first.seal("bob", SAID)
    destroyed = second.destroy("bob", by="chief", reason="They asked.")
    assert (destroyed.had_key, destroyed.generation) == (True, 1)
    for keys in holders:
        wait_until(lambda keys=keys: keys.applied >= destroyed.offset, "it is applied")  # type: ignore[misc]  # a default binds it
        assert fault_of(keys, *before) == "key_destroyed"
    again = third.seal("bob", SAID)
    assert again.key_id != before.key_id
    assert first.opening()(*again) == SAID
    assert fault_of(first, *before) == "key_destroyed"


def test_destroying_and_making_at_the_same_time_leaves_either_a_new_key_or_none(holders: list[PersonKeys]) -> None:
    first, second, third = holders
    before = first.seal("eve", SAID)
    with ThreadPoolExecutor(2) as pool:
        destroyed = pool.submit(second.destroy, "eve", by="chief", reason="")
        spoken = [first.seal("eve", SAID) for _ in range(50)]
        assert destroyed.result(60).had_key
    third.wait_until_read()
    assert fault_of(third, *before) == "key_destroyed"
    for each in spoken:
        if each.key_id == before.key_id:
            assert fault_of(third, *each) == "key_destroyed"
        else:
            assert third.opening()(*each) == SAID


def test_who_has_no_key_needs_none_destroyed(holders: list[PersonKeys]) -> None:
    assert not holders[0].destroy("nobody", by="chief", reason="").had_key


def test_a_key_that_nobody_made_is_told_from_one_that_is_still_to_come(holders: list[PersonKeys]) -> None:
    made = holders[0].seal("ada", SAID)
    name, _, _ = made.key_id.partition(".")
    assert fault_of(holders[1], f"{name}.99", made.text) == "key_unknown"


def test_what_is_no_key_is_passed_over(broker: str, holders: list[PersonKeys]) -> None:
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(KEYS, b"{", b"nobody")
    producer.produce(KEYS, None, None)
    assert producer.flush(20) == 0
    sealed = holders[0].seal("carol", SAID)
    assert holders[1].opening()(*sealed) == SAID


def test_names_on_the_log_tell_nobody_who_it_is(broker: str, holders: list[PersonKeys]) -> None:
    holders[0].seal("ada-of-the-long-name", SAID)
    assert not any(b"ada-of-the-long-name" in part for part in everything(broker, topics={KEYS}))


def test_a_destroyed_key_is_compacted_away_although_nobody_writes_any_more(tmp_path: Path) -> None:
    file = master_key_file(tmp_path)
    with running_broker(tmp_path / "kafka") as server:
        create_our_topics(server.endpoint, partitions=1)
        _compact_soon(server.endpoint)
        settings = sealing_settings(server.endpoint, file)
        with PersonKeys(settings, file, sweeps=True, sweep_seconds=COMPACTION_SECONDS) as keys:
            keys.seal("ada", SAID)
            [wrapped] = [each for each in _wrapped(server.endpoint) if each is not None]
            keys.destroy("ada", by="chief", reason="They asked.")
            begun = time.monotonic()
            wait_until(lambda: wrapped not in _wrapped(server.endpoint), "the old record is gone", seconds=120)
            print(f"gone after {time.monotonic() - begun:.1f} s")  # noqa: T201 - a measured number
            assert None in _wrapped(server.endpoint)


def _wrapped(broker: str) -> list[bytes | None]:
    decoder = msgspec.json.Decoder(PersonKey)
    values = [part for part in everything(broker, topics={KEYS}) if part.startswith(b'{"generation"')]
    return [decoder.decode(value).wrapped for value in values]


def _compact_soon(broker: str) -> None:
    """Have the broker keep to a compaction lag of seconds, where ours is an hour."""
    entry = ConfigEntry(
        "max.compaction.lag.ms", str(int(COMPACTION_SECONDS * 1000)), incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ResourceType.TOPIC, KEYS, incremental_configs=[entry])
    for done in admin_client({"bootstrap.servers": broker}).incremental_alter_configs([resource]).values():
        done.result(30)
