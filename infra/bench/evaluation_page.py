"""An evaluation as one page that needs nothing else: no request leaves it, and it prints."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from infra.bench.svg import Axis, Plot, bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.bench.report import Report
    from models.evaluation import Evaluation
    from models.measures import Bin

_CONFUSIONS = 20

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --soft: #6b7787; --line: #dfe4ea; --mark: #1f6feb;
  --other: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #12161c; --soft: #93a0b2; --line: #2a323d;
  --mark: #6ea8fe; --other: #fb923c; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
p, figcaption { color: var(--soft); } figure { margin: 0; overflow-x: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 2rem; }
svg { width: 100%; height: auto; font-size: 12px; } svg text { fill: var(--soft); }
.grid { stroke: var(--line); } .even { fill: none; stroke: var(--soft); stroke-dasharray: 4 4; }
.curve { fill: none; stroke: var(--mark); stroke-width: 2; } .mark, .bar { fill: var(--mark); }
.other { fill: var(--other); } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; } th { font-weight: 600; }
.scroll { max-height: 32rem; overflow: auto; } th { position: sticky; top: 0; background: var(--paper); }
"""


def render_page(report: Report, evaluation: Evaluation) -> str:
    """Return the page as HTML."""
    title = f"{report.settings['data']}, strategy {report.settings['strategy']}"
    machine = f"{report.machine['processor']}, {report.machine['cores']} cores"
    origin = f"{report.started_at} · {report.command} · {machine}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(origin)}</p>",
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        "<h2>Measures</h2>",
        _table(("measure", "value"), [(name, f"{value:,.4f}") for name, value in report.measures.items()]),
        '<div class="plots">',
        _figure(
            "Reliability",
            _reliability(evaluation.reliability),
            "Answers grouped by confidence, as many in each group; on the dashed line they keep what they promise.",
        ),
        _figure(
            "Accuracy against cost", _cost(evaluation), "Microseconds of one text; the line asks ever more texts again."
        ),
        "</div>",
        "<h2>Most frequent confusions</h2>",
        _confusions(evaluation),
        "<h2>Intents, the worst first</h2>",
        f'<div class="scroll">{_intents(evaluation)}</div>',
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _reliability(bins: Sequence[Bin]) -> str:
    low = min([0.9, *(min(each.confidence, each.accuracy) for each in bins)])
    axis = Axis("confidence", max(0.0, low - 0.02), 1.0)
    plot = Plot(axis, axis._replace(title="share that is right"), "Reliability")
    plot.line([(axis.low, axis.low), (1.0, 1.0)], "even")
    plot.line([(each.confidence, each.accuracy) for each in bins], "curve")
    named = [(each.confidence, each.accuracy, f"{each.texts} texts") for each in bins]
    plot.dots(named, "mark", named=False)
    return plot.svg()


def _cost(evaluation: Evaluation) -> str:
    every = [*evaluation.curve, *evaluation.points]
    costs, rights = [point.microseconds for point in every], [point.accuracy for point in every]
    across = Axis("microseconds a text", min(costs) * 0.7, max(costs) * 1.6, logarithmic=True)
    margin = max(0.005, (max(rights) - min(rights)) * 0.1)
    up = Axis(
        "accuracy", max(0.0, min(rights) - margin), min(1.0, max(rights) + margin), form=lambda value: f"{value:.1%}"
    )
    plot = Plot(across, up, "Accuracy against cost")
    if evaluation.curve:
        plot.line([(point.microseconds, point.accuracy) for point in evaluation.curve], "curve")
    *alone, strategy = [(point.microseconds, point.accuracy, point.name) for point in evaluation.points]
    plot.dots(alone, "mark")
    plot.dots([strategy], "other")
    return plot.svg()


def _confusions(evaluation: Evaluation) -> str:
    rows = [
        (f"{_shown(each.truth)} → {_shown(each.answered)}", float(each.texts))
        for each in evaluation.confusions[:_CONFUSIONS]
    ]
    return _figure("", bars(rows, "Most frequent confusions"), "What it is → what was answered, and how many texts.")


def _intents(evaluation: Evaluation) -> str:
    rows = [
        (_shown(row.intent), str(row.texts), *(f"{value:.3f}" for value in (row.precision, row.recall, row.f1)))
        for row in evaluation.intents
    ]
    return _table(("intent", "texts", "precision", "recall", "F1"), rows)


def _shown(intent: str | None) -> str:
    return "(out of scope)" if intent is None else intent


def _figure(title: str, picture: str, caption: str) -> str:
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    return f"<figure>{heading}{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
