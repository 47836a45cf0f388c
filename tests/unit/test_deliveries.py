"""Answers at least once, without transactions: no offset is committed whose answers the broker has not acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError

from tests.kit.exchange_bench import ANSWERS, Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

AWAY = KafkaError(KafkaError._TIMED_OUT, "no acknowledgement", retriable=True)
REFUSED = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "it may not")
NO_PARTITION = KafkaError(KafkaError._UNKNOWN_PARTITION, "there is no such partition")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(at_least_once=True)
    bench.exchange.open()
    yield bench
    bench.exchange.stop()


def test_offsets_are_committed_by_the_fetch_that_follows_the_acknowledgement_of_all_answers(bench: Bench) -> None:
    batch = bench.fetch()
    bench.broker.calls.clear()
    assert bench.commit(batch)
    assert (bench.broker.calls, bench.broker.answers) == (["produce", "flush"], ANSWERS)
    bench.fetch()
    assert (bench.broker.calls[2:], bench.broker.committed) == (["commit_offsets"], 10)


def test_what_is_fetched_meanwhile_commits_nothing(bench: Bench) -> None:
    bench.fetch()
    bench.fetch()
    assert bench.broker.committed == -1001


def test_a_broker_that_is_away_for_a_while_is_waited_for(bench: Bench) -> None:
    bench.broker.faults["flush"] += [AWAY, AWAY]
    assert bench.commit(bench.fetch())
    assert bench.broker.answers == ANSWERS
    assert bench.broker.producers == 1


@pytest.mark.parametrize("call", ["produce", "flush"])
def test_what_the_broker_refuses_is_fetched_and_answered_again(bench: Bench, call: str) -> None:
    bench.broker.faults[call].append(REFUSED)
    assert not bench.commit(bench.fetch())
    assert (bench.seen.aborts, bench.broker.committed) == (["TOPIC_AUTHORIZATION_FAILED"], -1001)
    again = bench.fetch()
    assert again.records[0].offset() == 0
    assert bench.commit(again)
    assert (bench.broker.answers, bench.broker.producers) == (ANSWERS, 2)


def test_a_producer_without_acknowledgements_for_too_long_is_replaced_and_sends_no_more() -> None:
    bench = Bench(patience_seconds=0.0, at_least_once=True)
    bench.exchange.open()
    bench.broker.faults["flush"].append(AWAY)
    assert not bench.commit(bench.fetch())
    assert (bench.seen.aborts, bench.broker.calls[-1]) == (["unanswered"], "purge")
    assert bench.commit(bench.fetch())
    assert bench.broker.producers == 2


def test_a_partition_that_is_missing_has_the_topics_brought_in_line(bench: Bench) -> None:
    bench.broker.faults["produce"].append(NO_PARTITION)
    assert not bench.commit(bench.fetch())
    assert bench.broker.calls[-1] == "repair"
    assert bench.commit(bench.fetch())


def test_a_revocation_waits_for_the_offsets_to_be_committed_so_that_the_next_owner_answers_nothing_again(
    bench: Bench,
) -> None:
    assert bench.commit(bench.fetch())
    bench.consumer.revoke()
    assert (bench.broker.calls[-1], bench.broker.committed) == ("commit_offsets_and_wait", 10)


def test_who_has_lost_its_partitions_commits_no_offset_of_theirs_any_more(bench: Bench) -> None:
    assert bench.commit(bench.fetch())
    bench.consumer.lose()
    assert bench.fetch().records[0].offset() == 0
    assert bench.broker.committed == -1001


def test_an_end_waits_for_the_offsets_to_be_committed(bench: Bench) -> None:
    assert bench.commit(bench.fetch())
    bench.exchange.close()
    assert bench.broker.calls[-2:] == ["commit_offsets_and_wait", "close"]


def test_a_commit_of_offsets_that_fails_is_made_up_for_by_the_next(bench: Bench) -> None:
    bench.broker.faults["commit_offsets"].append(AWAY)
    assert bench.commit(bench.fetch())
    assert bench.commit(bench.fetch())
    bench.fetch()
    assert bench.broker.committed == 20
