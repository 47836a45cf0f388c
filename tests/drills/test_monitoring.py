"""A real worker under load, read by a real Prometheus: what it exports, what its probes say, and that alerts fire."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pytest
import yaml

from infra.embedded.ports import free_port
from infra.embedded.process import Child, Launch
from infra.grafana.dashboards import DASHBOARDS
from tests.kit.alerting import ALERTS_FILE, FOLDER, RECORDED_FILE, Promtool
from tests.kit.load import publish, utterances
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker
    from tests.kit.ledger import Ledger
    from tests.kit.worker import WorkerProcess

pytestmark = pytest.mark.drill

COUNT = 3_000
QUERIES = [query for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries]
PROBES = ("", "/live", "/ready", "/startup", "/models", "/dependencies", "/flags")
AWAY = {"IntentstreamDependencyAway"}
"""What fires in a worker of the drills, which has no Redis."""


class Prometheus(NamedTuple):
    """One that runs."""

    port: int

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer; None where there is none."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.loads(answer.read())["data"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def value(self, query: str) -> float:
        """Return a query's one value; 0 where it has none."""
        answer = self.ask("query", query=query)
        return float(answer["result"][0]["value"][1]) if answer and answer["result"] else 0.0

    def accepts(self, query: str) -> bool:
        """Return whether a query of a dashboard is one."""
        return self.ask("query", query=query.replace("$__rate_interval", "1m")) is not None

    def has_data(self, query: str) -> bool:
        """Return whether a query of a dashboard gives any."""
        answer = self.ask("query", query=query.replace("$__rate_interval", "1m"))
        return bool(answer and answer["result"])

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule as it was last evaluated."""
        answer = self.ask("rules")
        return [rule for group in answer["groups"] for rule in group["rules"]] if answer else []

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {rule["name"] for rule in self.rules() if rule.get("state") == "firing"}


@contextmanager
def prometheus(program: Path, folder: Path, *workers: WorkerProcess) -> Iterator[Prometheus]:
    """Run one with our configuration and rules, that looks every second and waits for nothing before it alerts."""
    rules = yaml.safe_load(ALERTS_FILE.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    (folder / "workers").mkdir()
    (folder / "workers" / "drill.yml").write_text(
        yaml.safe_dump([{"targets": [f"127.0.0.1:{worker.port}" for worker in workers]}])
    )
    (folder / ALERTS_FILE.name).write_text(yaml.safe_dump(rules))
    (folder / RECORDED_FILE.name).write_text(RECORDED_FILE.read_text())
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    running = Prometheus(free_port())
    command = [str(program), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{running.port}"]
    child = Child(Launch(command=command), folder=folder, log_file=folder / "prometheus.log")
    try:
        wait_until(lambda: running.ask("rules") is not None, "Prometheus answers")
        yield running
    finally:
        child.kill()


@pytest.fixture
def worker(broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker) -> WorkerProcess:
    """A worker that has answered so many utterances."""
    worker = new_worker()
    worker.wait_until_ready()
    publish(broker.endpoint, utterances(COUNT))
    ledger.wait_for_answers(COUNT)
    return worker


def test_what_a_worker_exports_says_what_it_did(worker: WorkerProcess, promtool_program: Path, tmp_path: Path) -> None:
    # What the drills before left there is answered, too, and a marker that ends a transaction counts as a message.
    wait_until(
        lambda: worker.metric("intentstream_committed_offset") >= COUNT, "its own account is of after the answers"
    )
    partitions = worker.metric("intentstream_partitions_assigned")
    wait_until(lambda: worker.metric("intentstream_lag_messages") <= partitions, "all is answered, by its own account")
    out, timed = "intentstream_events_out_total", "intentstream_end_to_end_seconds_count"
    assert worker.metric(out) >= COUNT
    wait_until(lambda: worker.metric(timed) == worker.metric(out), "what was answered is what was timed")
    assert worker.metric("intentstream_lag_seconds") == 0 or worker.metric("intentstream_lag_messages") > 0
    assert worker.metric("intentstream_event_loop_lag_seconds_count") > 0
    assert worker.metric("intentstream_tier_wanted") == 2
    assert worker.metric("intentstream_memory_limit_bytes") > worker.metric("process_resident_memory_bytes")
    text = worker.get("/metrics").encode()
    assert Promtool(promtool_program, tmp_path).complaints("check", "metrics", stdin=text) == ""


def test_every_probe_answers_under_way(worker: WorkerProcess) -> None:
    wait_until(lambda: json.loads(worker.get("/health/startup"))["status"] == "pass", "every model is loaded")
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
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with prometheus(prometheus_program, folder, worker) as running:
        wait_until(lambda: running.value("sum(intentstream_events_out_total)") == COUNT, "the worker is read")
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
