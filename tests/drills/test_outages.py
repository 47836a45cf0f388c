"""Redis and the broker go away under load and come back: the worker stays, says so, and goes on."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.kit.load import Stream, utterances
from tests.kit.waiting import let_pass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.ledger import Ledger
    from tests.kit.worker import WorkerProcess

pytestmark = pytest.mark.drill

COUNT = 15_000
PER_SECOND = 1_000
OUTAGE_SECONDS = float(os.environ.get("DRILL_OUTAGE_SECONDS", "12"))
"""Longer than a session and a transaction last."""


def test_redis_may_go_and_come_back(
    broker: EmbeddedServer, redis_server: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, show: Show
) -> None:
    worker = new_worker(REDIS__URL=redis_server.endpoint, CACHE__LOCAL_ENTRIES=0)
    worker.wait_until_ready()
    with unchanged(worker), Stream(broker.endpoint, utterances(COUNT), per_second=PER_SECOND) as stream:
        ledger.wait_for_answers(COUNT // 5)
        redis_server.stop()
        try:
            ledger.wait_for_answers(COUNT // 2)
            assert worker.status("/health/ready") == 200
            assert worker.classify("what is the weather like")[0] == 200
        finally:
            redis_server.start()
        stream.finish()
        ledger.wait_for_answers(COUNT)
    account = ledger.account()
    account.check(COUNT)
    show(f"{COUNT} utterances, Redis stopped and started again: {account}")


@pytest.mark.parametrize(
    "end",
    [pytest.param(lambda server: server.stop(), id="stopped"), pytest.param(lambda server: server.kill(), id="killed")],
)
def test_the_broker_may_go_and_come_back(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, show: Show, end: Callable[[EmbeddedServer], None]
) -> None:
    worker = new_worker()
    worker.wait_until_ready()
    with unchanged(worker), Stream(broker.endpoint, utterances(COUNT), per_second=PER_SECOND) as stream:
        ledger.wait_for_answers(COUNT // 5)
        end(broker)
        try:
            noticed = worker.wait_for("/health/ready", 503)
            assert_answers_without_a_broker(worker)
            let_pass(OUTAGE_SECONDS - noticed)
            assert (worker.status("/health/live"), worker.status("/health/ready")) == (200, 503)
        finally:
            broker.start()
        ready_again = worker.wait_until_ready()
        stream.finish()
        ledger.wait_for_answers(COUNT)
    account = ledger.account()
    account.check(COUNT)
    show(
        f"{COUNT} utterances, broker away for {OUTAGE_SECONDS:g} s: {account}; "
        f"not ready {noticed:.1f} s after it went, ready {ready_again:.1f} s after it was back"
    )


@contextmanager
def unchanged(worker: WorkerProcess) -> Iterator[None]:
    """Hold a worker to being the same process, without a fault of its own, however it fared."""
    pid = worker.pid
    yield
    assert (worker.exit_code, worker.pid) == (None, pid)
    assert "Traceback" not in worker.log


def assert_answers_without_a_broker(worker: WorkerProcess) -> None:
    status, answer = worker.classify("what is the weather like")
    assert (status, answer["published"]) == (200, False)
    assert answer["not_published_because"]
    assert answer["result"]["confidence"] > 0
