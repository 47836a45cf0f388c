"""A real Prometheus that reads real workers by the rules that are shipped, in a hurry."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import yaml

from infra.embedded.ports import free_port
from infra.embedded.process import Child, Launch
from tests.kit.alerting import ALERTS_FILE, FOLDER, RECORDED_FILE
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.kit.worker import WorkerProcess

_ALERT_SECONDS = 150.0
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"\b(\d+)([smhd])\b")
_WINDOW = re.compile(r"\[\d+[smhd]\]|\boffset \d+[smhd]")
_BEHIND_SECONDS = re.compile(r"(?<=intentstream_sink_lag_seconds > )\d+")


def alert_name(name: str, labels: Mapping[str, str]) -> str:
    """Return an alert's name; with its window, where it has several."""
    return " ".join([name, *filter(None, [labels.get("window")])])


class Prometheus(NamedTuple):
    """One that runs.

    Attributes:
        port: Where it answers.
        workers_file: Names the workers that it reads; it is read again when it changes.
    """

    port: int
    workers_file: Path

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
        """Return the names of the alerts that fire; with its window, where one has several."""
        return {alert_name(rule["name"], rule["labels"]) for rule in self.rules() if rule.get("state") == "firing"}

    def fired(self, seconds: float, *, state: str = "firing") -> set[str]:
        """Return the names of the alerts that fire or did so within the last seconds, with their windows."""
        query = f'max_over_time(ALERTS{{alertstate="{state}"}}[{1_000 * seconds:.0f}ms])'
        answer = self.ask("query", query=query)
        labels = [each["metric"] for each in answer["result"]] if answer else []
        return {alert_name(each["alertname"], each) for each in labels}

    def sees(self, alerts: AbstractSet[str], broken: AbstractContextManager[None]) -> str:
        """Return how long it took until alerts had fired with something broken, and had cleared with it mended."""
        wait_until(lambda: not alerts & self.firing(), "nothing is wrong yet")
        begun = time.monotonic()

        def fired() -> set[str]:
            return self.fired(time.monotonic() - begun)

        with broken:
            wait_until(
                lambda: alerts <= fired(),
                "they fire",
                seconds=_ALERT_SECONDS,
                also=lambda: f"never: {sorted(alerts - fired())}",
            )
            after, others = time.monotonic() - begun, fired() - alerts
        cleared = wait_until(
            lambda: not alerts & self.firing(),
            "they clear",
            seconds=_ALERT_SECONDS,
            also=lambda: f"still: {sorted(alerts & self.firing())}",
        )
        also = f", and so did {', '.join(sorted(others))}" if others else ""
        return f"fired after {after:.0f} s, cleared {cleared:.0f} s after it was mended{also}"

    def watch(self, *workers: WorkerProcess) -> None:
        """Have it read these workers, and no others."""
        targets = [f"127.0.0.1:{worker.port}" for worker in workers]
        self.workers_file.write_text(yaml.safe_dump([{"targets": targets}] if targets else []))


@contextmanager
def prometheus(
    program: Path, folder: Path, *workers: WorkerProcess, rules: Mapping[str, Mapping[str, Any]]
) -> Iterator[Prometheus]:
    """Run one with our configuration, that looks every second.

    Args:
        program: It.
        folder: Of its own, and not there yet.
        workers: That it reads.
        rules: The files of rules, by name.
    """
    (folder / "workers").mkdir(parents=True)
    running = Prometheus(free_port(), folder / "workers" / "drill.yml")
    running.watch(*workers)
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for name, content in {**rules, "prometheus.yml": config}.items():
        (folder / name).write_text(yaml.safe_dump(content))
    command = [str(program), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{running.port}"]
    child = Child(Launch(command=command), folder=folder, log_file=folder / "prometheus.log")
    try:
        wait_until(lambda: running.ask("rules") is not None, "Prometheus answers")
        yield running
    finally:
        child.kill()


def impatient_rules() -> dict[str, Any]:
    """Return the files of rules, by name, with alerts that wait for nothing."""
    rules = _shipped()
    for rule in _each(rules):
        rule.pop("for", None)
    return rules


def hurried_rules(times: float) -> dict[str, Any]:
    """Return the files of rules, by name, with every window and all patience so many times as short.

    So is the time for which the sink may be behind; all other thresholds stay.
    """
    rules = _shipped()
    for rule in _each(rules):
        rule["expr"] = _WINDOW.sub(lambda window: _shorten(window[0], times), rule["expr"])
        rule["expr"] = _BEHIND_SECONDS.sub(lambda seconds: f"{int(seconds[0]) / times:g}", rule["expr"])
        if "for" in rule:
            rule["for"] = _shorten(rule["for"], times)
    return rules


def _shorten(text: str, times: float) -> str:
    return _DURATION.sub(lambda found: f"{int(found[1]) * _UNITS_MS[found[2]] / times:.0f}ms", text)


def _shipped() -> dict[str, Any]:
    return {file.name: yaml.safe_load(file.read_text()) for file in (ALERTS_FILE, RECORDED_FILE)}


def _each(rules: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (rule for content in rules.values() for group in content["groups"] for rule in group["rules"])
