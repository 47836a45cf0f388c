"""Runs Prometheus' own tests of rules, on series made up for them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from health.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = Path(__file__).parents[2] / "infra" / "prometheus"
ALERTS_FILE, RECORDED_FILE = FOLDER / "alerts.yml", FOLDER / "recorded.yml"

Series = dict[str, str]
"""Values in promtool's notation, by series; one sample each 15 s."""

SCRAPE_SECONDS = 15
_ALERTS = 'count by (alertname, window) (ALERTS{alertstate="firing"})'
_TOKENS = re.compile(r'"[^"]*"|\[[^\]]*\]|offset \w+|[A-Za-z_:][\w:]*|\d+(?:\.\d+)?')
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DURATION = re.compile(r"(\d+)([smhd])")


class Expected(NamedTuple):
    """What a query gives at a time."""

    query: str
    at: str
    samples: Mapping[str, float] = {}  # by their labels, as PromQL writes them

    def render(self) -> dict[str, Any]:
        """Return it as promtool has it."""
        samples = [{"labels": labels, "value": value} for labels, value in self.samples.items()]
        return {"expr": self.query, "eval_time": self.at, "exp_samples": samples}


class Scenario(NamedTuple):
    """What is measured, and what follows."""

    series: Series
    expected: tuple[Expected, ...]

    def render(self) -> dict[str, Any]:
        """Return it as promtool has it."""
        series = [{"series": name, "values": values} for name, values in self.series.items()]
        expected = [each.render() for each in self.expected]
        return {"interval": f"{SCRAPE_SECONDS}s", "input_series": series, "promql_expr_test": expected}


def firing(at: str, *alerts: str) -> Expected:
    """Expect these alerts to fire at a time, and no other; each as its labels."""
    return Expected(_ALERTS, at, dict.fromkeys(alerts, 1))


class Promtool(NamedTuple):
    """Prometheus' tool for checks.

    Attributes:
        program: Where it is.
        folder: For files of tests.
    """

    program: Path
    folder: Path

    def run(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run it; return how that went."""
        return subprocess.run([self.program, *arguments], input=stdin, capture_output=True, timeout=120, check=False)

    def complaints(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run it; return all that it says where it is not content, else nothing."""
        done = self.run(*arguments, stdin=stdin)
        return (done.stdout + done.stderr).decode() if done.returncode else ""

    def faults(self, rules: Mapping[str, Any], scenarios: list[Scenario]) -> str:
        """Put rules to the test; return what is not as expected."""
        (self.folder / "rules.yml").write_text(yaml.safe_dump(dict(rules)))
        tests = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{SCRAPE_SECONDS}s",
            "tests": [scenario.render() for scenario in scenarios],
        }
        (self.folder / "tests.yml").write_text(yaml.safe_dump(tests))
        return self.complaints("test", "rules", str(self.folder / "tests.yml"))


def moved(rule: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a rule with one of its thresholds moved, or its patience, and what was moved."""
    expression = rule["expr"]
    for token in _TOKENS.finditer(expression):
        if _NUMBER.fullmatch(token[0]):
            number = float(token[0])
            for other in (number * 1.15, number * 0.85) if number else (5.0,):
                changed = f"{expression[: token.start()]}{other:g}{expression[token.end() :]}"
                yield f"{token[0]} is {other:g}", dict(rule, expr=changed)
    if patience := _DURATION.fullmatch(rule.get("for", "")):
        seconds = int(patience[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[patience[2]]
        for other in (seconds * 2, seconds // 2):
            yield f"for {patience[0]} is {other} s", dict(rule, **{"for": f"{other}s"})


def metrics_in(expression: str) -> dict[str, set[str]]:
    """Return the metrics that an expression reads, and by which labels it selects them."""
    plain = re.sub(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)", " ", expression)
    found: dict[str, set[str]] = {}
    for name, selector in re.findall(r"([A-Za-z_:][\w:]*+)(?!\s*\()\s*(\{[^}]*\})?", re.sub(r"\[[^\]]*\]", " ", plain)):
        if not re.fullmatch(r"and|or|unless|offset|by|on|[smhd]|inf|nan", name, re.IGNORECASE):
            found.setdefault(name, set()).update(re.findall(r"(\w+)\s*[=!]", selector))
    return found


def unknown_in(expression: str) -> list[str]:
    """Return what of the metrics and labels in an expression neither a worker exports nor Prometheus records."""
    known = labels_by_sample()
    unknown = []
    for metric, labels in metrics_in(expression).items():
        if metric not in known:
            unknown.append(metric)
        else:
            unknown += [f"{metric}{{{label}}}" for label in labels - known[metric] - {"job", "instance", "le"}]
    return unknown


def labels_by_sample() -> dict[str, set[str]]:
    """Return the labels of everything that a worker exports or Prometheus records."""
    metrics = Metrics("1.2.3")
    exported = {sample: {*each.labels} for each in metrics.described for sample in each.samples}
    processes = {each.name: set[str]() for each in metrics.registry.collect() if each.name.startswith("process_")}
    (group,) = yaml.safe_load(RECORDED_FILE.read_text())["groups"]
    return exported | processes | {rule["record"]: set[str]() for rule in group["rules"]} | {"up": set()}
