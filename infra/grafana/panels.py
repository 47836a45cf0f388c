"""What a dashboard is made of, and how Grafana wants it written."""

from __future__ import annotations

from typing import Any, NamedTuple

_COLUMNS = 24
_HEIGHT = 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA_VERSION = 39
"""Of Grafana 10 and 11; later ones bring it up to date themselves."""


class Query(NamedTuple):
    """A line, or a line for each combination of labels.

    Attributes:
        expression: In PromQL; `$__rate_interval` is Grafana's.
        legend: What a line is called; labels in double braces.
        rare: Whether there is none for as long as nothing goes wrong, or nobody asks for it.
    """

    expression: str
    legend: str = ""
    rare: bool = False


class Panel(NamedTuple):
    """One graph.

    Attributes:
        title: What it shows.
        queries: Its lines.
        unit: Grafana's name of the unit.
        line: A threshold to draw.
        help: What to make of it.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    line: float | None = None
    help: str = ""

    def render(self, number: int, *, columns: int) -> dict[str, Any]:
        """Return it as Grafana has it.

        Args:
            number: Its place on the dashboard.
            columns: How many stand side by side.
        """
        width = _COLUMNS // columns
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if self.line is not None:
            steps.append({"color": "red", "value": self.line})
        drawn = {"custom": {"thresholdsStyle": {"mode": "off" if self.line is None else "line"}}}
        return {
            "id": number + 1,
            "type": "timeseries",
            "title": self.title,
            "description": self.help,
            "datasource": _SOURCE,
            "gridPos": {
                "h": _HEIGHT,
                "w": width,
                "x": number % columns * width,
                "y": number // columns * _HEIGHT,
            },
            "fieldConfig": {
                "defaults": {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}, **drawn},
                "overrides": [],
            },
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [
                {
                    "refId": chr(ord("A") + place),
                    "datasource": _SOURCE,
                    "expr": query.expression,
                    "legendFormat": query.legend,
                }
                for place, query in enumerate(self.queries)
            ],
        }


class Dashboard(NamedTuple):
    """A page of graphs."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    columns: int = 3

    def render(self) -> dict[str, Any]:
        """Return it as Grafana has it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["intentstream"],
            "schemaVersion": _SCHEMA_VERSION,
            "editable": False,
            "refresh": "15s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {
                "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
            },
            "annotations": {
                "list": [
                    {
                        "name": "Alerts",
                        "datasource": _SOURCE,
                        "enable": True,
                        "iconColor": "red",
                        "expr": 'ALERTS{alertstate="firing", alertname=~"Intentstream.*"}',
                        "titleFormat": "{{alertname}}",
                    }
                ]
            },
            "panels": [panel.render(number, columns=self.columns) for number, panel in enumerate(self.panels)],
        }
