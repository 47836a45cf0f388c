"""The benchmark of sealing on a real broker: what it times is what was sealed, sent, read back and opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.bench.sealing import PLAIN, SEALED, _cost, _utterances
from infra.bench.sealing_keys import People, first_texts, followed, keys_of
from infra.bench.sealing_topic import read_back
from infra.cli.utterance_producer import UtteranceProducer
from schemas.cloudevents import decode_utterance
from schemas.record_headers import headers_of
from tests.kit.brokers import create_our_topics, running_broker
from tests.kit.person_keys import master_key_file, sealing_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

    from schemas.cloudevents import OpenText
    from schemas.settings import Settings

SENT = _utterances(["where is my parcel?", "i want my money back"], 100, 50)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as server:
        create_our_topics(server.endpoint, partitions=1)
        yield sealing_settings(server.endpoint, master_key_file(tmp_path_factory.mktemp("secret")))


@pytest.fixture(scope="module")
def everybody(settings: Settings) -> Iterator[People]:
    with keys_of(settings) as keys:
        everybody = People(keys)
        everybody.grow(len(SENT))
        yield everybody


@pytest.fixture
def senders(settings: Settings, everybody: People) -> dict[str, UtteranceProducer]:
    return {
        PLAIN: UtteranceProducer(settings, timeout_seconds=30),
        SEALED: UtteranceProducer(settings, timeout_seconds=30, keys=everybody.keys),
    }


def text_of(record: Message, open_text: OpenText | None = None) -> str:
    received = decode_utterance(
        record.value(), headers_of(record), "here", max_text_characters=4_000, open_text=open_text
    )
    return received.utterance.text


def test_what_is_read_back_is_what_was_sent_last_and_all_of_it(
    settings: Settings, everybody: People, senders: dict[str, UtteranceProducer]
) -> None:
    for sender in senders.values():
        for utterance in SENT:
            sender.publish(utterance)
        sender.finish()
    records, received = read_back(settings, last=len(SENT))
    assert [text_of(record, everybody.keys.opening()) for record in records] == [each.text for each in SENT]
    assert all(b"parcel" not in (record.value() or b"") for record in records)
    assert received > sum(len(record.value() or b"") for record in records) / 2


def test_both_sides_are_measured_in_the_same_things_and_what_is_sealed_is_longer(
    settings: Settings, senders: dict[str, UtteranceProducer]
) -> None:
    plain, sealed = (_cost(settings, sender, SENT) for sender in senders.values())
    assert set(plain) == set(sealed) == {"send_us", "read_first_us", "read_us", "value_bytes", "wire_bytes"}
    assert min(*plain.values(), *sealed.values()) > 0
    assert sealed["value_bytes"] > plain["value_bytes"] > 100
    assert sealed["wire_bytes"] > plain["wire_bytes"]


def test_whoever_is_timed_at_their_first_text_had_no_key_before(everybody: People) -> None:
    before = everybody.count, everybody.keys.applied
    waited = first_texts(everybody, "hello")
    assert all(milliseconds > 0 for milliseconds in waited.values())
    people = everybody.count - before[0]
    assert everybody.keys.applied - before[1] >= people == 120


def test_who_follows_more_people_holds_more(settings: Settings, everybody: People) -> None:
    few = followed(settings).megabytes
    everybody.grow(everybody.count + 5_000)
    assert followed(settings).megabytes > few + 0.5
