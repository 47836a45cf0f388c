"""`apply_topics` brings a real broker in line with the table, again and again, and takes nothing away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from flags.admin import admin_client
from infra.embedded.ports import free_port
from schemas.errors import UnavailableError
from schemas.settings import Topics
from streams.topics import DEAD_LETTERS, FEEDBACK, RESULTS, TOPICS, UTTERANCES, Action, apply_topics
from tests.kit.brokers import running_broker
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.embedded.server import EmbeddedServer

NAMES = [spec.name for spec in TOPICS]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with running_broker(tmp_path_factory.mktemp("topics")) as server:
        yield server


@pytest.fixture
def admin(broker: EmbeddedServer) -> AdminClient:
    """A client of a broker that has none of our topics."""
    admin = admin_client({"bootstrap.servers": broker.endpoint})
    there = [name for name in admin.list_topics(timeout=20).topics if name in NAMES]
    if there:
        for gone in admin.delete_topics(there).values():
            gone.result(30)
    wait_until(lambda: not set(NAMES) & set(admin.list_topics(timeout=20).topics), "our topics are gone")
    return admin


def partitions(admin: AdminClient, topic: str) -> int:
    return len(admin.list_topics(topic, timeout=20).topics[topic].partitions)


def config(admin: AdminClient, topic: str, name: str) -> str:
    (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return str(answer.result(20)[name].value)


def set_config(admin: AdminClient, topic: str, **values: object) -> None:
    entries = [
        ConfigEntry(name.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
        for name, value in values.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(20)
    for entry in entries:
        wait_for_config(admin, topic, entry.name, str(entry.value))


def wait_for_config(admin: AdminClient, topic: str, name: str, value: str) -> None:
    """Wait until the broker shows what it has accepted."""
    wait_until(lambda: config(admin, topic, name) == value, f"{name} of {topic} is {value}")


def wait_for_partitions(admin: AdminClient, topic: str, count: int) -> None:
    """Wait until the broker shows what it has accepted."""
    wait_until(lambda: partitions(admin, topic) == count, f"{topic} has {count} partitions")


def apply(admin: AdminClient, topics: Topics) -> None:
    """Apply, and wait until the broker shows it."""
    apply_topics(admin, topics)
    wait_until(lambda: apply_topics(admin, topics, dry_run=True) == [], "the broker shows what was applied")


def actions(admin: AdminClient, topics: Topics) -> dict[str, Action]:
    return {change.topic: change.action for change in apply_topics(admin, topics)}


def test_every_topic_of_the_table_is_created(admin: AdminClient) -> None:
    assert actions(admin, Topics(partitions=3)) == dict.fromkeys(NAMES, Action.CREATED)
    for spec in TOPICS:
        assert partitions(admin, spec.name) == spec.partitions or 3
        for name, value in spec.config(Topics(partitions=3)).items():
            assert config(admin, spec.name, name) == value


def test_a_second_time_there_is_nothing_to_do(admin: AdminClient) -> None:
    apply(admin, Topics(partitions=3))
    assert apply_topics(admin, Topics(partitions=3)) == []


def test_what_would_be_done_can_be_asked_first(admin: AdminClient) -> None:
    changes = apply_topics(admin, Topics(), dry_run=True)
    assert {change.action for change in changes} == {Action.CREATED}
    assert not set(NAMES) & set(admin.list_topics(timeout=20).topics)


def test_partitions_grow(admin: AdminClient) -> None:
    apply(admin, Topics(partitions=3))
    grown = [UTTERANCES, RESULTS, FEEDBACK, DEAD_LETTERS]
    assert actions(admin, Topics(partitions=5)) == dict.fromkeys(grown, Action.GREW)
    for topic in grown:
        wait_for_partitions(admin, topic, 5)
    assert apply_topics(admin, Topics(partitions=5)) == []


def test_partitions_are_never_taken_away(admin: AdminClient) -> None:
    apply(admin, Topics(partitions=5))
    refused = apply_topics(admin, Topics(partitions=3))
    assert {change.action for change in refused} == {Action.REFUSED}
    assert "INTENTSTREAM_TOPICS__PARTITIONS=5" in str(refused[0])
    assert partitions(admin, UTTERANCES) == 5


def test_results_follow_utterances_to_which_somebody_gave_partitions(admin: AdminClient) -> None:
    apply(admin, Topics(partitions=3))
    for done in admin.create_partitions([NewPartitions(UTTERANCES, 7)]).values():
        done.result(30)
    wait_for_partitions(admin, UTTERANCES, 7)
    assert actions(admin, Topics(partitions=3)) == {UTTERANCES: Action.REFUSED, RESULTS: Action.GREW}
    wait_for_partitions(admin, RESULTS, 7)


def test_results_follow_utterances_that_were_there_before_us(admin: AdminClient) -> None:
    for done in admin.create_topics([NewTopic(UTTERANCES, 7, 1)]).values():
        done.result(30)
    wait_for_partitions(admin, UTTERANCES, 7)
    apply_topics(admin, Topics(partitions=3))
    wait_for_partitions(admin, RESULTS, 7)


def test_a_setting_that_differs_is_mended(admin: AdminClient) -> None:
    apply(admin, Topics(partitions=3))
    set_config(admin, UTTERANCES, max_message_bytes=5_000)
    assert actions(admin, Topics(partitions=3)) == {UTTERANCES: Action.ALTERED}
    wait_for_config(admin, UTTERANCES, "max.message.bytes", "1048588")
    assert apply_topics(admin, Topics(partitions=3)) == []


def test_a_setting_that_is_none_of_ours_is_left_alone(admin: AdminClient) -> None:
    apply(admin, Topics(partitions=3))
    set_config(admin, UTTERANCES, segment_bytes=50_000_000)
    assert apply_topics(admin, Topics(partitions=3)) == []
    assert config(admin, UTTERANCES, "segment.bytes") == "50000000"


@pytest.mark.parametrize("longer", [-1, 365 * 24 * 3600 * 1000])
def test_retention_is_never_shortened_whatever_else_is_mended(admin: AdminClient, longer: int) -> None:
    apply(admin, Topics(partitions=3))
    set_config(admin, UTTERANCES, retention_ms=longer, max_message_bytes=5_000)
    changes = {change.action: change.what for change in apply_topics(admin, Topics(partitions=3))}
    assert set(changes) == {Action.REFUSED, Action.ALTERED}
    assert "retention.ms" in changes[Action.REFUSED]
    wait_for_config(admin, UTTERANCES, "max.message.bytes", "1048588")
    assert config(admin, UTTERANCES, "retention.ms") == str(longer)


def test_retention_is_made_longer(admin: AdminClient) -> None:
    apply(admin, Topics(partitions=3))
    set_config(admin, UTTERANCES, retention_ms=60_000)
    assert actions(admin, Topics(partitions=3)) == {UTTERANCES: Action.ALTERED}
    wait_for_config(admin, UTTERANCES, "retention.ms", str(7 * 24 * 3600 * 1000))


@pytest.mark.parametrize("before", [None, 3])
def test_several_may_do_it_at_the_same_time(admin: AdminClient, broker: EmbeddedServer, before: int | None) -> None:
    if before is not None:
        apply(admin, Topics(partitions=before))
    admins = [admin_client({"bootstrap.servers": broker.endpoint, "client.id": f"worker-{n}"}) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: apply_topics(each, Topics(partitions=5)), admins))
    wait_until(lambda: apply_topics(admin, Topics(partitions=5), dry_run=True) == [], "all is as it should be")


def test_no_topic_is_made_by_a_misspelt_name(broker: EmbeddedServer) -> None:
    delivered: list[bool] = []
    producer = Producer({"bootstrap.servers": broker.endpoint, "message.timeout.ms": 2_000})
    producer.produce("intents.uterances.v1", b"{}", on_delivery=lambda error, _: delivered.append(error is None))
    producer.flush(10)
    assert delivered == [False]
    known = admin_client({"bootstrap.servers": broker.endpoint}).list_topics(timeout=20).topics
    assert "intents.uterances.v1" not in known


def test_a_broker_that_is_away_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.topics._TIMEOUT_SECONDS", 0.5)
    away = admin_client({"bootstrap.servers": f"127.0.0.1:{free_port()}"})
    with pytest.raises(UnavailableError, match="could not be asked"):
        apply_topics(away, Topics())
