"""Hostile records go to the dead-letter topic as they came, and the good ones among them are answered."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from infra.chaos.poison import MARK
from schemas.record_headers import headers_of
from tests.kit.hostile import bursting_kinds, hostile, inflating_kinds, publish_with_unreadable_header_name
from tests.kit.load import Record, our_texts, publish, utterances

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from confluent_kafka import Message

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.ledger import Ledger

pytestmark = pytest.mark.drill

SPOKEN = "quetzal"
"""Stands in every good text, so that a log which repeats one is found out."""


def test_hostile_records_are_buried_byte_for_byte_and_the_good_ones_among_them_answered(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, chance: Random, show: Show
) -> None:
    good = utterances(20_000, [f"{text} {SPOKEN}" for text in our_texts()[:300]])
    worker = new_worker()
    worker.wait_until_ready()
    pid, agent_restarts = worker.pid, worker.metric("intentstream_unexpected_errors_total")
    inflating = inflating_kinds()
    bad = hostile(2_000 - 2 * len(inflating), chance)
    count = publish(broker.endpoint, mingled(good, bad, chance))
    count += publish(broker.endpoint, inflating, **{"compression.type": "lz4"})
    count += publish(broker.endpoint, inflating, **{"compression.type": "zstd"})
    assert count == 22_000
    ledger.wait_for_answers(count)

    account = ledger.account()
    account.check(count)
    assert (len(account.results), len(account.dead_letters)) == (20_000, 2_000)
    for place, letter in account.dead_letters.items():
        assert_same(account.utterances[place], letter)
    for place, result in account.results.items():
        assert SPOKEN.encode() in (account.utterances[place].value() or b""), "a hostile record was answered"
        assert SPOKEN.encode() not in (result.value() or b"")
    assert (worker.exit_code, worker.pid, worker.status("/health/ready")) == (None, pid, 200)
    assert worker.metric("intentstream_unexpected_errors_total") == agent_restarts == 0
    assert_clean(worker.log)
    show(f"20000 good, 2000 hostile: {account}")


async def test_a_header_name_that_nobody_can_read_is_buried_without_its_headers(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = new_worker()
    worker.wait_until_ready()
    await publish_with_unreadable_header_name(broker.endpoint, monkeypatch)
    ledger.wait_for_answers(1)
    (letter,) = ledger.account().dead_letters.values()
    assert letter.value() == json.dumps({"text": f"{MARK} good"}).encode()
    assert dict(headers_of(letter) or ())["intentstream.errors.code"] == b"invalid_utf8"
    assert worker.exit_code is None
    assert_clean(worker.log)


def test_an_utterance_whose_key_leaves_no_room_for_a_result_is_buried(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, chance: Random
) -> None:
    key = chance.randbytes(1_048_300)
    worker = new_worker()
    publish(broker.endpoint, [Record(b'{"text": "hello"}', key), Record(b'{"text": "hello"}', "key")])
    ledger.wait_for_answers(2)
    account = ledger.account()
    account.check(2)
    (letter,) = account.dead_letters.values()
    assert letter.key() == key
    assert worker.exit_code is None


def test_what_bursts_a_dead_letter_is_buried_by_name(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker
) -> None:
    records = bursting_kinds()
    worker = new_worker()
    publish(broker.endpoint, records, **{"compression.type": "zstd"})
    ledger.wait_for_answers(len(records))
    account = ledger.account()
    account.check(len(records))
    for letter in account.dead_letters.values():
        headers = dict(headers_of(letter) or ())
        assert headers["intentstream.errors.code"] == b"record_too_large"
        assert letter.value() is None
    assert worker.exit_code is None


def mingled(good: Iterator[Record], bad: Iterator[Record], chance: Random) -> Iterator[Record]:
    """Yield both, in random turns, each in its order."""
    sources = [good, bad]
    while sources:
        source = sources[0] if len(sources) == 1 or chance.random() < 0.9 else sources[1]
        record = next(source, None)
        if record is None:
            sources.remove(source)
        else:
            yield record


def assert_same(original: Message, letter: Message) -> None:
    """Hold a dead letter against what it buries: nothing changed, and why after it."""
    assert (letter.key(), letter.value()) == (original.key(), original.value())
    before, after = list(headers_of(original) or []), list(headers_of(letter) or [])
    assert after[: len(before)] == before
    reasons = [name for name, _ in after[len(before) :]]
    assert reasons[:3] == [f"__connect.errors.{name}" for name in ("topic", "partition", "offset")]
    assert {"__connect.errors.exception.message", "__connect.errors.exception.class.name"} <= set(reasons)


def assert_clean(log: str) -> None:
    """Hold a log to what it must not have: stack traces, and what users said."""
    assert not re.search(rf"Traceback|{MARK}|{SPOKEN}", log), log[-3_000:]
