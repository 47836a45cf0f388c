"""The page of what a worker exports and what is alerted on, generated, so that it never says what is not so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from health.metrics import Metrics

ALERTS_FILE = Path(__file__).parent / "prometheus" / "alerts.yml"

_INTRODUCTION = """\
# Metrics and alerts

<!-- Written by `python -m infra.generate`; change `health/metrics.py` or `infra/prometheus/alerts.yml` instead. -->

Every worker serves its metrics at `/metrics`, in Prometheus' text format. How to have Prometheus read them, and what to
make of those about flags and workers, stands in [operations](operations.md).

## Metrics

Histograms have buckets with an edge at 0.5 s, the objective. Labels have few values: routes are templates, flags are at
most a thousand, and no id and no text ever becomes one. Beside these there are prometheus-client's `process_…` and
`python_gc_…`.

| metric | labels | what it says |
|---|---|---|
"""
_ALERTS = """
## Alerts

`page` wakes somebody up, `ticket` waits for the next day. Each leads to a page that says what to do.

Thresholds are held from both sides by Prometheus' own tests of rules. Each has a drill, too: the real thing is broken
(a broker is stopped, a model server hangs, a worker is frozen, has a bug, is left little memory, reaches Postgres over
a thin line), a real Prometheus sees the alert fire, and clear again once it is mended. For that, windows and patience
are 60 times as short (720 times where the error budget is looked at over days), and so are the five minutes that the
sink may be behind; other thresholds are as below. The drill for memory makes a control group, and is skipped where that
is not permitted.

That none fires where nothing is wrong, `DRILL_QUIET_SECONDS=600 pytest tests/drills/test_quiet.py` shows: the rules as
they are, a worker that has all it may have, 20 utterances/s and 2 calls/s. In these ten minutes on 2026-11-30, on two
cores that others kept busy besides, none fired. Three were pending for a while: `IntentstreamAbsent` until the first
look, `IntentstreamSlowStream` and `IntentstreamCacheMisses`. Where others keep a machine busy, answers are slow and the
two alerts of speed are right to fire: the drill says whether they did, and fails for any other.

| alert | | fires when | for |
|---|---|---|---|
"""


def monitoring_page() -> str:
    """Return the page."""
    table = ""
    for metric in Metrics("").described:
        name = metric.name if metric.kind == "histogram" else metric.samples[0]
        kind = " (histogram)" if metric.kind == "histogram" else ""
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        table += f"| `{name}`{kind} | {labels} | {metric.documentation} |\n"
    return _INTRODUCTION + table + _ALERTS + "".join(map(_row, alert_rules()))


def alert_rules() -> list[dict[str, Any]]:
    """Return every rule that alerts."""
    groups: list[dict[str, Any]] = yaml.safe_load(ALERTS_FILE.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _row(rule: dict[str, Any]) -> str:
    page = rule["annotations"]["runbook_url"].removeprefix("docs/")
    expression = re.sub(r"\s+", " ", rule["expr"]).strip().replace("|", "\\|")
    severity, patience = rule["labels"]["severity"], rule.get("for", "")
    return f"| [`{rule['alert']}`]({page}) | {severity} | `{expression}` | {patience} |\n"
