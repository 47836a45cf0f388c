"""Once a change is said to be in force everywhere, nobody decides by what was before: not even who was given up.

When a decision began is computed from what its result says: the utterance's timestamp and how long it had waited. The
worker notes that moment before it looks at the flags; it and the test read the same machine's clock.
"""

from __future__ import annotations

import bisect
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.kit.load import Stream, utterances
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.ledger import Account, Ledger
    from tests.kit.worker import WorkerProcess

pytestmark = [pytest.mark.drill, pytest.mark.timeout(3_000)]

WAITS = int(os.environ.get("DRILL_WAITS", "40"))
WORKERS = int(os.environ.get("DRILL_WORKERS", "3"))
FREEZES = 3
PER_SECOND = 200
MOST_UTTERANCES = 1_000_000
FLAG = "ab_testing"
START_SECONDS = 300.0
SECONDS = 60
"""For everybody to apply a change; a frozen worker is given up after six."""


class Reply(NamedTuple):
    """That a change is in force everywhere.

    Attributes:
        at: When it came, in Unix time.
        took: Seconds, from before it was asked for.
        workers: How many have applied it.
    """

    revision: int
    at: float
    took: float
    workers: int


def change(worker: WorkerProcess, number: int) -> Reply:
    """Change a flag through one worker and wait until that is in force everywhere."""
    path = f"/api/v1/feature-flags/{FLAG}?wait=all&timeout_seconds={SECONDS}"
    body = {"enabled": number % 2 == 0, "reason": "A drill.", "changed_by": "drill"}
    begun = time.monotonic()
    status, answer = worker.patch(path, body, seconds=SECONDS + 10)
    replied_at, took = time.time(), time.monotonic() - begun
    assert (status, answer["applied"]["missing"]) == (200, []), answer
    return Reply(answer["revision"], replied_at, took, answer["applied"]["workers"])


def asked_at_once(workers: Sequence[WorkerProcess], pool: ThreadPoolExecutor) -> list[int]:
    """Return the revisions that all workers decide by, asked at the same time: a check and a classification each."""
    checks = [pool.submit(worker.get, f"/api/v1/feature-flags/check/{FLAG}?user_id=ada") for worker in workers]
    answers = [pool.submit(worker.classify, "what is the weather like") for worker in workers]
    by_check = [json.loads(check.result())["revision"] for check in checks]
    return by_check + [answer.result()[1]["result"]["flags_revision"] for answer in answers]


def stale(account: Account, replies: Sequence[Reply]) -> tuple[list[tuple[int, int]], int]:
    """Return the revisions of decisions that began after a reply and were older than it said, and how many began soon.

    Soon is within a tenth of a second: the decisions that a late worker would have got wrong.
    """
    moments = [reply.at for reply in replies]
    faults, soon = [], 0
    for place, record in account.results.items():
        result = json.loads(record.value() or b"")
        began = account.utterances[place].timestamp()[1] / 1000 + result["timings"]["queue_seconds"]
        before = bisect.bisect_left(moments, began) - 1
        if before < 0:
            continue
        soon += began - moments[before] < 0.1
        if result.get("flags_revision", 0) < replies[before].revision:
            faults.append((result.get("flags_revision", 0), replies[before].revision))
    return faults, soon


def wait_until_all_are_known(workers: Sequence[WorkerProcess]) -> None:
    for worker in workers:
        worker.wait_until_ready(START_SECONDS)
    wait_until(
        lambda: all(worker.metric("intentstream_workers_live") == len(workers) for worker in workers),
        "everybody knows everybody",
        also=lambda: str([worker.metric("intentstream_workers_live") for worker in workers]),
    )


def test_nobody_decides_by_old_flags_once_everybody_is_said_to_have_the_new(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, show: Show
) -> None:
    workers = [new_worker(f"worker-{number}") for number in range(WORKERS)]
    wait_until_all_are_known(workers)
    replies = []
    with (
        Stream(broker.endpoint, utterances(MOST_UTTERANCES), per_second=PER_SECOND) as stream,
        ThreadPoolExecutor(2 * WORKERS) as pool,
    ):
        ledger.wait_for_answers(PER_SECOND)
        for number in range(WAITS):
            reply = change(workers[number % WORKERS], number)
            assert min(asked_at_once(workers, pool)) >= reply.revision
            assert reply.workers == WORKERS
            replies.append(reply)
    ledger.wait_for_answers(stream.published)
    faults, soon = stale(ledger.account(), replies)
    centiles = statistics.quantiles([reply.took for reply in replies], n=100)
    show(
        f"{WAITS} changes waited for in {WORKERS} workers under {PER_SECOND} utterances a second: "
        f"{len(faults)} stale, {soon} decisions within 100 ms of a reply; "
        f"median {centiles[49] * 1000:.0f} ms, p99 {centiles[98] * 1000:.0f} ms"
    )
    assert faults == []
    assert soon > 0


def test_a_frozen_worker_is_not_waited_for_and_wakes_up_to_the_new_flags(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, show: Show
) -> None:
    workers = [new_worker(f"worker-{number}") for number in range(WORKERS)]
    wait_until_all_are_known(workers)
    frozen = workers[-1]
    replies = []
    with (
        Stream(broker.endpoint, utterances(MOST_UTTERANCES), per_second=PER_SECOND) as stream,
        ThreadPoolExecutor(2 * WORKERS) as pool,
    ):
        for number in range(FREEZES):
            ledger.wait_for_answers(ledger.answered() + PER_SECOND)
            frozen.suspend()
            replies.append(change(workers[0], number))
            frozen.resume()
            assert min(asked_at_once(workers, pool)) >= replies[-1].revision
            assert replies[-1].workers == WORKERS - 1
            wait_until_all_are_known(workers)
    ledger.wait_for_answers(stream.published)
    faults, soon = stale(ledger.account(), replies)
    lapses = frozen.metric("intentstream_lease_lapses_total")
    show(
        f"{FREEZES} changes while one of {WORKERS} was frozen: {len(faults)} stale, {soon} decisions "
        f"within 100 ms of a reply; the longest wait {max(reply.took for reply in replies):.1f} s; "
        f"its lease lapsed {lapses:.0f} times"
    )
    assert faults == []
    assert lapses > FREEZES
