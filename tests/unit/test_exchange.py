"""The exchange's rules, against a broker that fails on demand, as no real one can be made to at the right moment."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError, KafkaException

from models.threads import DaemonThread
from schemas.errors import UnavailableError
from streams.membership import MemberFencedError
from tests.kit.exchange_bench import ANSWERS, WAIT_SECONDS, Bench, FakeConsumer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.batches import Batch

TIMED_OUT = KafkaError(KafkaError._TIMED_OUT, "commit timed out", retriable=True)
REFUSED = KafkaError(KafkaError.ILLEGAL_GENERATION, "another generation", txn_requires_abort=True)
FENCED = KafkaError(KafkaError._FENCED, "another producer", fatal=True)
AWAY = KafkaError(KafkaError._TRANSPORT, "the broker is away", retriable=True)
SAME_ID = KafkaError(KafkaError.FENCED_INSTANCE_ID, "another member")
SAME_ID_SAID_BEFORE = KafkaError(KafkaError._FATAL, "fatal error: another member")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.exchange.open()
    yield bench
    bench.exchange.stop()


def offsets(batch: Batch) -> tuple[int | None, int | None]:
    return batch.records[0].offset(), batch.records[-1].offset()


def test_a_transaction_left_open_by_a_predecessor_is_ended_before_the_group_is_joined(bench: Bench) -> None:
    assert bench.broker.calls == ["init_transactions", "subscribe"]


def test_a_broker_that_refuses_the_producer_can_be_tried_again() -> None:
    bench = Bench()
    bench.broker.faults["init_transactions"].append(KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED))
    with pytest.raises(UnavailableError, match="refused the transactional producer"):
        bench.exchange.open()
    bench.exchange.open()
    assert bench.broker.calls[-1] == "subscribe"


def test_a_commit_asks_the_consumer_nothing_for_it_may_be_held_by_a_fetch(bench: Bench) -> None:
    batch = bench.fetch()
    bench.broker.calls.clear()
    assert bench.commit(batch)
    assert bench.broker.calls == ["begin_transaction", "produce", "send_offsets", "commit"]


def test_a_commit_of_unknown_outcome_is_asked_again_until_it_is_known(bench: Bench) -> None:
    bench.broker.faults["commit"] += [TIMED_OUT, TIMED_OUT]
    assert bench.commit(bench.fetch())
    assert bench.broker.calls.count("commit") == 3
    assert (bench.broker.answers, bench.broker.committed) == (ANSWERS, 10)


@pytest.mark.parametrize("call", ["begin_transaction", "produce", "send_offsets", "commit"])
def test_whatever_fails_is_taken_back_and_fetched_again(bench: Bench, call: str) -> None:
    bench.broker.faults[call].append(REFUSED)
    assert not bench.commit(bench.fetch())
    assert bench.seen.aborts == ["ILLEGAL_GENERATION"]
    again = bench.fetch()
    assert offsets(again) == (0, 9)
    assert bench.commit(again)
    assert (bench.broker.answers, bench.broker.producers) == (ANSWERS, 1)


def test_what_was_fetched_behind_a_failed_batch_is_void(bench: Bench) -> None:
    first, second = bench.fetch(), bench.fetch()
    bench.broker.faults["send_offsets"].append(REFUSED)
    assert not bench.commit(first)
    assert not bench.commit(second)
    assert (bench.seen.voids, bench.broker.answers, bench.broker.committed) == ([10], [], -1001)
    assert offsets(bench.fetch()) == (0, 9)


def test_a_batch_that_never_came_holds_back_those_behind_it(bench: Bench) -> None:
    bench.fetch()
    assert not bench.commit(bench.fetch())
    assert bench.broker.answers == []
    assert offsets(bench.fetch()) == (0, 9)


def test_an_abort_that_fails_costs_the_producer(bench: Bench) -> None:
    bench.broker.faults["commit"].append(REFUSED)
    bench.broker.faults["abort"].append(FENCED)
    assert not bench.commit(bench.fetch())
    assert bench.commit(bench.fetch())
    assert (bench.broker.producers, bench.broker.calls.count("init_transactions")) == (2, 2)
    assert bench.broker.answers == ANSWERS


def test_an_abort_that_times_out_is_asked_again(bench: Bench) -> None:
    bench.broker.faults["commit"].append(REFUSED)
    bench.broker.faults["abort"].append(TIMED_OUT)
    assert not bench.commit(bench.fetch())
    assert bench.broker.calls.count("abort") == 2
    assert bench.commit(bench.fetch())
    assert bench.broker.producers == 1


@pytest.mark.parametrize("call", ["send_offsets", "commit"])
def test_a_producer_that_gets_no_answer_for_too_long_is_replaced_and_the_new_one_ends_its_transaction(
    call: str,
) -> None:
    bench = Bench(patience_seconds=0.0)
    bench.exchange.open()
    bench.broker.faults[call].append(TIMED_OUT)
    assert not bench.commit(bench.fetch())
    assert (bench.seen.aborts, bench.broker.calls.count("abort")) == (["unanswered"], 0)
    again = bench.fetch()
    assert offsets(again) == (0, 9)
    assert bench.commit(again)
    assert (bench.broker.producers, bench.broker.calls.count("init_transactions")) == (2, 2)
    assert (bench.broker.answers, bench.broker.committed) == (ANSWERS, 10)


def test_a_producer_whose_abort_gets_no_answer_for_too_long_is_replaced() -> None:
    bench = Bench(patience_seconds=0.0)
    bench.exchange.open()
    bench.broker.faults["commit"].append(REFUSED)
    bench.broker.faults["abort"].append(TIMED_OUT)
    assert not bench.commit(bench.fetch())
    assert bench.commit(bench.fetch())
    assert bench.broker.producers == 2


def test_a_producer_whose_call_does_not_return_is_left_behind() -> None:
    bench = Bench(patience_seconds=WAIT_SECONDS, new_executor=lambda: DaemonThread("transactions"))
    returning = threading.Event()
    bench.broker.faults["send_offsets"].append(lambda: bool(returning.wait()))
    bench.exchange.open()
    assert not bench.commit(bench.fetch())
    assert bench.seen.aborts == ["unanswered"]
    assert bench.commit(bench.fetch())
    returning.set()
    assert (bench.broker.producers, bench.broker.answers) == (2, ANSWERS)


def test_a_fenced_producer_is_replaced_and_not_asked_to_abort(bench: Bench) -> None:
    bench.broker.faults["commit"].append(FENCED)
    assert not bench.commit(bench.fetch())
    assert bench.commit(bench.fetch())
    assert (bench.broker.producers, bench.broker.calls.count("abort")) == (2, 0)
    assert bench.broker.calls.count("purge") == 1, "before it is destroyed, nothing of it is under way"


def test_where_answers_have_no_partition_the_topics_are_brought_in_line_and_a_new_producer_sees_them(
    bench: Bench,
) -> None:
    bench.broker.faults["produce"].append(KafkaError(KafkaError._UNKNOWN_PARTITION))
    assert not bench.commit(bench.fetch())
    assert bench.broker.calls[-3:] == ["abort", "repair", "purge"]
    assert bench.commit(bench.fetch())
    assert bench.broker.producers == 2


def test_a_bug_of_ours_in_a_commit_costs_a_rewind_and_nothing_else(bench: Bench) -> None:
    def bug() -> None:
        raise ValueError("unforeseen")

    bench.broker.faults["produce"].append(bug)
    assert not bench.commit(bench.fetch())
    assert bench.commit(bench.fetch())
    assert (bench.broker.answers, bench.broker.committed) == (ANSWERS, 10)


def test_a_full_queue_is_waited_for(bench: Bench) -> None:
    def full() -> None:
        raise BufferError

    bench.broker.faults["produce"].append(full)
    assert bench.commit(bench.fetch())
    assert bench.broker.answers == ANSWERS


@pytest.mark.parametrize("rebalance", [FakeConsumer.revoke, FakeConsumer.lose])
def test_a_rebalance_while_records_are_gathered_voids_them(
    bench: Bench, rebalance: Callable[[FakeConsumer], None]
) -> None:
    bench.consumer.inside.append(lambda: rebalance(bench.consumer))
    gathered = bench.fetch()
    assert not bench.commit(gathered)
    assert (bench.broker.answers, bench.seen.voids) == ([], [10])
    assert offsets(bench.fetch()) == (0, 9)


def test_a_revocation_lets_what_is_in_flight_be_committed_first(bench: Bench) -> None:
    batch = bench.fetch()
    revoking = threading.Event()
    committing = threading.Thread(target=lambda: revoking.wait(WAIT_SECONDS) and bench.commit(batch))
    committing.start()

    def revoke() -> None:
        revoking.set()
        bench.consumer.revoke()

    bench.consumer.inside.append(revoke)
    bench.fetch()
    assert (bench.broker.answers, bench.broker.committed) == (ANSWERS, 10)
    committing.join()


def test_a_rewind_waits_for_the_transaction_under_way(bench: Bench) -> None:
    batch = bench.fetch()
    under_way, losing = threading.Event(), threading.Event()

    def be_slow() -> None:
        under_way.set()
        assert losing.wait(WAIT_SECONDS)
        assert not lost.wait(0.05), "the epoch ended in the middle of a transaction"

    lost = threading.Event()

    def lose() -> None:
        losing.set()
        bench.consumer.lose()
        lost.set()

    bench.broker.faults["commit"].append(be_slow)
    committing = threading.Thread(target=bench.commit, args=(batch,))
    committing.start()
    assert under_way.wait(WAIT_SECONDS)
    bench.consumer.inside.append(lose)
    bench.fetch()
    committing.join()
    again = bench.fetch()
    assert offsets(again) == (10, 19)
    assert bench.broker.calls.index("committed") > bench.broker.calls.index("commit")


def test_committed_offsets_that_cannot_be_read_are_asked_for_again_before_anything_is_fetched(bench: Bench) -> None:
    bench.broker.faults["send_offsets"].append(REFUSED)
    bench.broker.faults["committed"].append(AWAY)
    assert not bench.commit(bench.fetch())
    assert bench.exchange.fetch(10, 0) is None
    assert offsets(bench.fetch()) == (0, 9)


def test_a_position_that_cannot_be_set_is_set_again_before_anything_is_fetched(bench: Bench) -> None:
    bench.broker.faults["send_offsets"].append(REFUSED)
    bench.broker.faults["seek"].append(KafkaError(KafkaError._STATE))
    assert not bench.commit(bench.fetch())
    assert bench.exchange.fetch(10, 0) is None
    assert offsets(bench.fetch()) == (0, 9)


def test_an_error_among_records_does_not_cost_the_records(bench: Bench) -> None:
    bench.consumer.inside.append(AWAY)
    batch = bench.exchange.fetch(1, 0)
    assert batch is not None
    assert bench.commit(batch)
    assert bench.broker.committed == 1


@pytest.mark.parametrize("error", [SAME_ID, SAME_ID_SAID_BEFORE])
def test_a_member_shut_out_once_takes_its_place_back_and_fetches_anew(bench: Bench, error: KafkaError) -> None:
    in_flight = bench.fetch()
    bench.consumer.inside.append(error)
    assert bench.exchange.fetch(10, 0) is None
    assert bench.broker.calls[-2:] == ["close", "subscribe"]
    assert not bench.commit(in_flight)
    assert offsets(bench.fetch()) == (0, 9)


def test_a_member_shut_out_again_has_a_twin_and_gives_up(bench: Bench) -> None:
    bench.consumer.inside += [SAME_ID, SAME_ID]
    assert bench.exchange.fetch(1, 0) is None
    with pytest.raises(MemberFencedError, match="Give each its own INTENTSTREAM_WORKER__ID"):
        bench.exchange.fetch(1, 0)


def test_a_member_shut_out_again_once_its_session_may_have_run_out_anew_has_no_twin(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    for passed in (0.0, 12.5):
        monkeypatch.setattr("streams.membership.time.monotonic", lambda at=begun + passed: at)
        bench.consumer.inside.append(SAME_ID)
        assert bench.exchange.fetch(1, 0) is None
    assert bench.broker.calls.count("subscribe") == 3


def test_a_stop_ends_the_wait_for_a_broker_that_is_away(bench: Bench) -> None:
    batch = bench.fetch()

    def stop() -> None:
        bench.exchange.stop()
        raise KafkaException(TIMED_OUT)

    bench.broker.faults["commit"].append(stop)
    assert not bench.commit(batch)
    assert bench.seen.aborts == ["stopping"]
    assert bench.exchange.drain(0)
