"""Nothing is wrong, and nobody is called: a worker that has all it may have, under gentle load.

`DRILL_QUIET_SECONDS` says for how long, 60 unless it is set. To the rules it is ten minutes: their windows and their
patience are as much shorter.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.kit.load import Stream, our_texts, utterances
from tests.kit.prometheus import hurried_rules, prometheus
from tests.kit.waiting import let_pass, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.worker import WorkerProcess

SECONDS = float(os.environ.get("DRILL_QUIET_SECONDS", "60"))
TIMES = 600 / SECONDS
PER_SECOND = 20
CALL_SECONDS = 0.5

OF_SPEED = {"IntentstreamSlowStream", "IntentstreamSlowHttp"}
"""On a machine that others keep busy answers are slow, and it is right that these say so."""

pytestmark = [pytest.mark.drill, pytest.mark.timeout(SECONDS + 300)]


@pytest.fixture
def worker(redis_server: EmbeddedServer, postgres_server: EmbeddedServer, new_worker: NewWorker) -> WorkerProcess:
    """A worker that has all it may have, and is well."""
    worker = new_worker(REDIS__URL=redis_server.endpoint, POSTGRES__DSN=postgres_server.endpoint)
    worker.wait_until_ready()
    wait_until(
        lambda: json.loads(worker.get("/health"))["status"] == "pass",
        "all is well",
        seconds=120,
        also=lambda: worker.get("/health"),
    )
    return worker


def test_no_alert_of_faults_fires_in_a_quiet_run(
    broker: EmbeddedServer, worker: WorkerProcess, prometheus_program: Path, tmp_path: Path, show: Show
) -> None:
    texts, calls = itertools.cycle(our_texts()), 0
    with (
        prometheus(prometheus_program, tmp_path / "prometheus", worker, rules=hurried_rules(TIMES)) as reading,
        Stream(broker.endpoint, utterances(1_000_000), per_second=PER_SECOND),
    ):
        begun = time.monotonic()
        while time.monotonic() - begun < SECONDS:
            assert worker.classify(next(texts))[0] == 200
            calls += 1
            let_pass(CALL_SECONDS)
        passed = time.monotonic() - begun
        fired, pending = (reading.fired(passed, state=state) for state in ("firing", "pending"))
        assert all(rule["health"] == "ok" for rule in reading.rules())
        assert reading.value("sum(intentstream_events_out_total)") >= SECONDS * PER_SECOND / 2
    assert fired <= OF_SPEED
    show(f"{passed:.0f} s, {calls} calls; fired: {_listed(fired)}; pending for a while: {_listed(pending)}")


def _listed(alerts: set[str]) -> str:
    return ", ".join(sorted(alerts)) or "none"
