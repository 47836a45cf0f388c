"""Workers are killed, frozen and started again under load: every utterance is answered, and none of them twice."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import pytest

from tests.kit.ledger import pauses
from tests.kit.load import Stream, publish, utterances
from tests.kit.waiting import let_pass, wait_until

if TYPE_CHECKING:
    from random import Random

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.ledger import Account, Ledger
    from tests.kit.worker import WorkerProcess

pytestmark = pytest.mark.drill

SMALL_BATCHES = {"INTAKE__MAX_BATCH_RECORDS": 100}
"""So that there are many transactions to be killed in."""


def test_a_worker_killed_five_times_loses_nothing_and_answers_nothing_twice(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, chance: Random, show: Show
) -> None:
    count = 50_000
    publish(broker.endpoint, utterances(count))
    worker = new_worker(**SMALL_BATCHES)
    killed_at = []
    for answers in sorted(chance.sample(range(500, count - 10_000), 5)):
        ledger.wait_for_answers(max(answers, ledger.answered() + 1))
        let_pass(chance.uniform(0, 0.1))
        killed_at.append(time.time())
        worker.kill()
        assert ledger.answered() < count, "it was killed too late"
        worker.start()
    ledger.wait_for_answers(count)

    account = ledger.account()
    account.check(count)
    show(f"{count} utterances, 5 kills: {account}; {described(pauses(account.results.values(), killed_at))}")


def test_a_worker_without_transactions_that_is_killed_loses_nothing_and_answers_some_again(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, chance: Random, show: Show
) -> None:
    count = 20_000
    publish(broker.endpoint, utterances(count))
    worker = new_worker(**SMALL_BATCHES, INTAKE__AT_LEAST_ONCE="true")
    for answers in sorted(chance.sample(range(500, count - 8_000), 3)):
        ledger.wait_for_answers(max(answers, ledger.answered() + 1))
        worker.kill()
        assert ledger.answered() < count, "it was killed too late"
        worker.start()
    ledger.wait_for_answers(count)

    account = ledger.account()
    assert (len(account.utterances), account.lost, account.misplaced) == (count, [], [])
    show(f"{count} utterances without transactions, 3 kills: {account}")


def test_while_one_of_two_workers_is_dead_the_other_answers_for_it(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, show: Show
) -> None:
    count = 40_000
    first, second = new_worker("worker-1", **SMALL_BATCHES), new_worker("worker-2", **SMALL_BATCHES)
    first.wait_until_ready()
    second.wait_until_ready()
    wait_until(lambda: share_of(first) == share_of(second) == 4, "each has half of the partitions")
    with Stream(broker.endpoint, utterances(count), per_second=2_000) as stream:
        ledger.wait_for_answers(4_000)
        killed_at = time.time()
        second.kill()
        wait_until(lambda: share_of(first) == 8, "the one that lives has all partitions")
        ledger.wait_for_answers(ledger.answered() + 8_000)  # what had waited among them
        began_again_at = time.time()
        second.start()
        wait_until(lambda: share_of(first) == share_of(second) == 4, "each has half of the partitions again")
        assert stream.finish() == count
    ledger.wait_for_answers(count)

    account = ledger.account()
    account.check(count)
    moved = [partition for partition in range(8) if partition_pause(account, partition, killed_at) > 1]
    longest = max(partition_pause(account, partition, killed_at) for partition in range(8))
    given_back = max(partition_pause(account, partition, began_again_at) for partition in range(8))
    assert len(moved) >= 4  # those of the one that lives pause as long only where others keep the machine busy
    show(
        f"{count} utterances: {account}; the dead worker's partitions waited {longest:.1f} s at most, "
        f"the longest pause of a partition when it came back {given_back:.1f} s"
    )


def test_a_worker_that_was_thought_dead_answers_nothing_that_another_has_answered(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, show: Show
) -> None:
    count = 30_000
    first, second = new_worker("worker-1", **SMALL_BATCHES), new_worker("worker-2", **SMALL_BATCHES)
    first.wait_until_ready()
    second.wait_until_ready()
    wait_until(lambda: share_of(first) == share_of(second) == 4, "each has half of the partitions")
    with Stream(broker.endpoint, utterances(count), per_second=1_500) as stream:
        ledger.wait_for_answers(3_000)
        second.suspend()
        wait_until(lambda: share_of(first) == 8, "the other has all partitions")
        ledger.wait_for_answers(ledger.answered() + 2_000)
        second.resume()
        wait_until(lambda: share_of(first) == share_of(second) == 4, "each has half of the partitions again")
        assert stream.finish() == count
    ledger.wait_for_answers(count)

    account = ledger.account()
    account.check(count)
    show(f"{count} utterances, one worker frozen for longer than its session: {account}")


def share_of(worker: WorkerProcess) -> int:
    """Return how many partitions a worker has."""
    return int(worker.metric("intentstream_partitions_assigned"))


def partition_pause(account: Account, partition: int, moment: float) -> float:
    """Return for how many seconds one partition got no results around a moment."""
    return pauses([result for result in account.results.values() if result.partition() == partition], [moment])[0]


def described(found: list[float]) -> str:
    return f"pause median {statistics.median(found):.2f} s, longest {max(found):.2f} s"
