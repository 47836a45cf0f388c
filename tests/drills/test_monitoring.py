"""A real worker under load, read by a real Prometheus: what it exports, what its probes say, and that alerts fire."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from infra.grafana.dashboards import DASHBOARDS
from tests.kit.alerting import Promtool
from tests.kit.load import publish, utterances
from tests.kit.prometheus import impatient_rules, prometheus
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker
    from tests.kit.ledger import Ledger
    from tests.kit.worker import WorkerProcess

pytestmark = pytest.mark.drill

COUNT = 3_000
QUERIES = [query for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries]
PROBES = ("", "/live", "/ready", "/startup", "/models", "/dependencies", "/flags")
AWAY = {"IntentstreamDependencyAway", "IntentstreamSinkReadOnly"}
"""What fires in a worker of the drills, which has no Redis and no Postgres."""


@pytest.fixture
def worker(broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker) -> WorkerProcess:
    """A worker that has answered so many utterances."""
    worker = new_worker()
    worker.wait_until_ready()
    publish(broker.endpoint, utterances(COUNT))
    ledger.wait_for_answers(COUNT)
    return worker


def test_what_a_worker_exports_says_what_it_did(worker: WorkerProcess, promtool_program: Path, tmp_path: Path) -> None:
    # What the drills before left there is answered, too.
    wait_until(
        lambda: worker.metric("intentstream_committed_offset") >= COUNT, "its own account is of after the answers"
    )
    wait_until(lambda: worker.metric("intentstream_lag_messages") == 0, "all is answered, by its own account")
    out, timed = "intentstream_events_out_total", "intentstream_end_to_end_seconds_count"
    assert worker.metric(out) >= COUNT
    wait_until(lambda: worker.metric(timed) == worker.metric(out), "what was answered is what was timed")
    assert worker.metric("intentstream_lag_seconds") == 0
    assert worker.metric("intentstream_event_loop_lag_seconds_count") > 0
    assert worker.metric("intentstream_tier_wanted") == 2
    assert worker.metric("intentstream_memory_limit_bytes") > worker.metric("process_resident_memory_bytes")
    text = worker.get("/metrics").encode()
    assert Promtool(promtool_program, tmp_path).complaints("check", "metrics", stdin=text) == ""


def test_every_probe_answers_under_way(worker: WorkerProcess) -> None:
    wait_until(
        lambda: json.loads(worker.get("/health/startup"))["status"] == "pass", "every model is loaded", seconds=240
    )
    for probe in PROBES:
        assert worker.status(f"/health{probe}") == 200, probe
    models = json.loads(worker.get("/health/models"))["checks"]
    (rules,) = models["tier:rules"]
    assert (rules["status"], rules["breaker"], rules["selfTest"]) == ("pass", "closed", "passed")
    assert rules["latency"]["calls"] > 0
    (router,) = models["router:strategy"]
    assert (router["observedValue"], router["order"][0]) == ("adaptive", "rules")
    assert sum(router["tierMix"].values()) == pytest.approx(1, abs=0.001)
    dependencies = json.loads(worker.get("/health/dependencies"))["checks"]
    assert dependencies["kafka:availability"][0]["status"] == "pass"
    assert dependencies["redis:availability"][0]["status"] == "warn"


def test_prometheus_understands_every_rule_and_sees_a_worker_go_and_come_back(
    worker: WorkerProcess, prometheus_program: Path, tmp_path: Path
) -> None:
    with prometheus(prometheus_program, tmp_path / "prometheus", worker, rules=impatient_rules()) as running:
        wait_until(lambda: running.value("sum(intentstream_events_out_total)") >= COUNT, "the worker is read")
        wait_until(
            lambda: all(rule["health"] == "ok" for rule in running.rules()),
            "every rule is evaluated",
            also=lambda: str([rule for rule in running.rules() if rule["health"] != "ok"]),
        )
        wait_until(lambda: running.firing() == AWAY, "nothing fires but what is", also=lambda: str(running.firing()))
        for query in QUERIES:
            accepted = partial(running.accepts if query.rare else running.has_data, query.expression)
            wait_until(accepted, f"a dashboard shows {query.expression}")
        worker.kill()
        wait_until(lambda: "IntentstreamDown" in running.firing(), "it is missed")
        worker.start()
        worker.wait_until_ready()
        wait_until(lambda: "IntentstreamDown" not in running.firing(), "it is back")
