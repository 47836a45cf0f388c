"""Every graph asks for what there is, every alert can be seen on one, and Grafana can read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra.grafana.dashboards import DASHBOARDS
from tests.kit.alerting import ALERTS_FILE, metrics_in, unknown_in

if TYPE_CHECKING:
    from infra.grafana.panels import Dashboard, Panel

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS_FILE.read_text())["groups"] for rule in group["rules"]
]
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
EACH = pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{each.uid}: {panel.title}" for each, panel in PANELS]
)


@EACH
def test_every_query_asks_for_what_a_worker_exports(dashboard: Dashboard, panel: Panel) -> None:
    assert panel in dashboard.panels
    for query in panel.queries:
        assert unknown_in(query.expression) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['alert']} {rule['labels'].get('window', '')}".strip())
def test_what_every_alert_is_about_can_be_seen(rule: dict[str, Any]) -> None:
    shown = {metric for _, panel in PANELS for query in panel.queries for metric in metrics_in(query.expression)}
    assert shown & metrics_in(rule["expr"]).keys()


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_panels_do_not_cover_each_other_and_have_names_of_their_own(dashboard: Dashboard) -> None:
    rendered = json.loads((ROOT / "infra" / "grafana" / "generated" / f"{dashboard.uid}.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in rendered["panels"]]
    assert len(set(places)) == len(places) == len(dashboard.panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in rendered["panels"])
    assert len({panel["title"] for panel in rendered["panels"]}) == len(dashboard.panels)
    assert len({panel["id"] for panel in rendered["panels"]}) == len(dashboard.panels)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_thresholds_drawn_are_thresholds_alerted_on(dashboard: Dashboard) -> None:
    alerted = " ".join(rule["expr"] for rule in RULES)
    for panel in dashboard.panels:
        assert panel.line is None or any(f"{sign} {panel.line:g}" in alerted for sign in "<>"), panel.title


def test_grafana_is_told_where_both_are() -> None:
    folder = ROOT / "infra" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "intentstream.yml").read_text())["providers"]
    assert (source["type"], provider["type"]) == ("prometheus", "file")
    assert not provider["allowUiUpdates"]
