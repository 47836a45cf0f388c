"""Every alert fires where it should and nowhere else, held from both sides of its thresholds by Prometheus' tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.kit.alerting import (
    ALERTS_FILE,
    FOLDER,
    RECORDED_FILE,
    Expected,
    Promtool,
    Scenario,
    Series,
    firing,
    moved,
    unknown_in,
)

ROOT = Path(__file__).parents[2]
ALERTS: dict[str, Any] = yaml.safe_load(ALERTS_FILE.read_text())
RECORDED: dict[str, Any] = yaml.safe_load(RECORDED_FILE.read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]

WELL: Series = {'up{job="intentstream", instance="other"}': "1x1000"}
"""What is there in each scenario but the one in which nothing is."""

OURS = 'job="intentstream", instance="w"'
OBJECTIVE = "IntentstreamErrorBudget"


class Fires(NamedTuple):
    """What makes an alert fire.

    Attributes:
        series: What is measured.
        at: When it fires.
        before: The evaluation before that, at which it does not yet.
    """

    series: Series
    at: str
    before: str | None


class Case(NamedTuple):
    """An alert, from both sides.

    Attributes:
        alert: Its labels.
        fires: Each makes it fire.
        quiet: Each does not, at the times at which the others do.
    """

    alert: str
    fires: tuple[Fires, ...]
    quiet: tuple[Series, ...]
    base: Series = WELL


def slow(metric: str, labels: str, fast_enough: int) -> Series:
    """Of 1,000 each 15 s, so many take up to half a second, and the others up to one."""
    counts = {"0.25": 0, "0.5": fast_enough, "1.0": 1_000, "+Inf": 1_000}
    return {f'{metric}_bucket{{{labels}, le="{edge}"}}': f"0+{count}x400" for edge, count in counts.items()}


def counted(metric: str, label: str, **counts: int) -> Series:
    """Return counters that grow by so many each 15 s, by a label's value."""
    return {f'{metric}{{{OURS}, {label}="{value}"}}': f"0+{count}x400" for value, count in counts.items()}


def chosen(strategy: str, **tiers: int) -> Series:
    return counted("model_selection_total", f'strategy="{strategy}", tier', **tiers)


def cache(*, local: int, redis: int) -> Series:
    return counted("intentstream_cache_hits_total", "layer", local=local, redis=redis) | counted(
        "intentstream_cache_misses_total", "layer", local=100 - local, redis=100 - local - redis
    )


def lag(messages: str, seconds: int) -> Series:
    return {
        'intentstream:lag_messages:sum{topic="t"}': messages,
        'intentstream:lag_seconds:max{topic="t"}': f"{seconds}x400",
    }


def partition(messages: int, offset: str) -> Series:
    place = f'{OURS}, topic="t", partition="3"'
    return {
        f"intentstream_lag_messages{{{place}}}": f"{messages}x400",
        f"intentstream_committed_offset{{{place}}}": offset,
    }


def tier(health: int, wanted: int) -> Series:
    place = f'{OURS}, tier="distilbert"'
    return {
        f"intent_classifier_model_health{{{place}}}": f"{health}x400",
        f"intentstream_tier_wanted{{{place}}}": f"{wanted}x400",
    }


def one(metric: str, values: str, labels: str = "") -> Series:
    return {f"{metric}{{{OURS}{labels}}}": values}


def memory(used: int) -> Series:
    return one("process_resident_memory_bytes", f"{used}x400") | one("intentstream_memory_limit_bytes", "100x400")


def budget(long: str, short: str, *, spent: float, recently: float) -> Series:
    recorded = "intentstream:errors:ratio_rate"
    return {f"{recorded}{long}": f"{spent}x1000", f"{recorded}{short}": f"{recently}x1000"}


def objective(long: str, short: str, threshold: float, at: str, before: str) -> Case:
    over, under, far = threshold * 1.01, threshold * 0.99, threshold * 2
    return Case(
        f'{{alertname="{OBJECTIVE}", window="{long}"}}',
        (Fires(budget(long, short, spent=over, recently=over), at, before),),
        (budget(long, short, spent=far, recently=under), budget(long, short, spent=under, recently=far)),
    )


def case(alert: str, fires: Fires | tuple[Fires, ...], *quiet: Series, base: Series = WELL) -> Case:
    return Case(f'{{alertname="Intentstream{alert}"}}', (fires,) if isinstance(fires, Fires) else fires, quiet, base)


DEPENDENCY, UNEXPECTED = "intentstream_dependency_up", "intentstream_unexpected_errors_total"
READ_ONLY, SINK_LAG = "intentstream_sink_read_only", "intentstream_sink_lag_seconds"
DEAD, REFUSED = "intentstream_events_dead_lettered_total", "intentstream_flag_records_refused_total"
STREAM, HTTP = "intentstream_end_to_end_seconds", "http_request_duration_seconds"
CLASSIFY = 'method="POST", route="/api/v1/intents/classify"'
TURNS, STARTED = "intentstream_tier_texts_total", "process_start_time_seconds"

CASES = (
    case("Down", Fires(one("up", "1x4 0x400"), "195s", "180s"), one("up", "1x400")),
    case("Absent", Fires({}, "2m", "105s"), WELL, base={}),
    case("Memory", Fires(memory(81), "5m", "285s"), memory(79)),
    case(
        "UnexpectedErrors",
        (
            Fires(one(UNEXPECTED, "0x47 1x100", ', guard="http"'), "12m", "705s"),
            Fires(one(UNEXPECTED, "_x47 1x100", ', guard="http"'), "12m", "690s"),
        ),
        one(UNEXPECTED, "1x400", ', guard="http"'),
    ),
    case(
        "Errors",
        Fires({"intentstream:errors:ratio_rate5m": "0.051x400"}, "5m", "285s"),
        {"intentstream:errors:ratio_rate5m": "0.049x400"},
    ),
    case("SlowStream", Fires(slow(STREAM, 'tier="rules"', 945), "315s", "5m"), slow(STREAM, 'tier="rules"', 955)),
    case("SlowHttp", Fires(slow(HTTP, CLASSIFY, 945), "315s", "5m"), slow(HTTP, CLASSIFY, 955)),
    case("ModelUnhealthy", Fires(tier(0, 1), "2m", "105s"), tier(1, 1), tier(0, 0)),
    case(
        "TierFailing",
        Fires(
            counted(TURNS, 'tier="x", outcome', answered=949, failed=30, timeout=21, circuit_open=9_999), "315s", "5m"
        ),
        counted(TURNS, 'tier="x", outcome', answered=951, failed=30, timeout=19),
    ),
    case(
        "ModelServerAway",
        Fires(one(DEPENDENCY, "0x400", ', dependency="model_server"'), "1m", "45s"),
        one(DEPENDENCY, "1x400", ', dependency="model_server"'),
        one(DEPENDENCY, "0x400", ', dependency="postgres"'),
    ),
    case("CacheMisses", Fires(cache(local=20, redis=9), "1815s", "30m"), cache(local=20, redis=11)),
    case(
        "RoutingImbalance",
        (
            Fires(chosen("standard", rules=51, zero_shot=49), "915s", "15m"),
            Fires(chosen("quality", none=51, distilbert=49), "915s", "15m"),
            Fires(chosen("adaptive", rules=19, zero_shot=81), "915s", "15m"),
        ),
        chosen("standard", rules=49, zero_shot=51),
        chosen("adaptive", rules=21, zero_shot=79),
        chosen("adaptive", rules=100),
        chosen("performance", rules=100),
    ),
    case(
        "LagGrowing",
        Fires(lag("0+1x400", 31), "315s", "5m"),
        lag("0+1x400", 29),
        lag("9000-1x400", 60),
        lag("9x400", 60),
    ),
    case(
        "StuckPartition",
        Fires(partition(11, "70x400"), "2m", "105s"),
        partition(10, "70x400"),
        partition(99, "70+1x400"),
    ),
    case(
        "DeadLetters",
        (
            Fires(one(DEAD, "0x27 1x100", ', code="no_text"'), "7m", "405s"),
            Fires(one(DEAD, "_x27 1x100", ', code="no_text"'), "7m", "390s"),
        ),
        one(DEAD, "1x400", ', code="no_text"'),
    ),
    case(
        "DependencyAway",
        (
            Fires(one(DEPENDENCY, "0x400", ', dependency="kafka"'), "2m", "105s"),
            Fires(one(DEPENDENCY, "0x400", ', dependency="redis"'), "2m", "105s"),
        ),
        one(DEPENDENCY, "1x400", ', dependency="kafka"'),
    ),
    case(
        "SinkReadOnly",
        (
            Fires(one(READ_ONLY, "1x400"), "5m", "285s"),
            Fires(one(READ_ONLY, "1x400") | one(SINK_LAG, "301x400"), "5m", "285s"),
        ),
        one(READ_ONLY, "0x400"),
    ),
    case(
        "SinkBehind",
        Fires(one(READ_ONLY, "0x400") | one(SINK_LAG, "301x400"), "5m", "285s"),
        one(READ_ONLY, "0x400") | one(SINK_LAG, "300x400"),
        one(READ_ONLY, "0 1x400") | one(SINK_LAG, "301x400"),  # the other's, before it fires
    ),
    case(
        "FlagsInvalid",
        (
            Fires(one("intentstream_flags_damaged", "1x400"), "1m", "45s"),
            Fires(one("intentstream_flags_warnings", "1x400"), "1m", "45s"),
            Fires(one(REFUSED, "0x4 1x400", ', code="malformed"'), "135s", "2m"),
            Fires(one(REFUSED, "_x40 1x400", ', code="malformed"') | one(STARTED, "100x400"), "11m", "645s"),
        ),
        one("intentstream_flags_damaged", "0x400"),
        one("intentstream_flags_warnings", "0x400"),
        one(REFUSED, "1x400", ', code="malformed"') | one(STARTED, "100x400"),
        one(REFUSED, "_x40 1x400", ', code="malformed"') | one(STARTED, "100x30 200x400"),  # met again at a start
    ),
    case(
        "FlagsStale",
        Fires(one("intentstream_flags_age_seconds", "31x400"), "1m", "45s"),
        one("intentstream_flags_age_seconds", "29x400"),
    ),
    case(
        "ReleaseBehind",
        Fires(one("intentstream_releases_behind", "1x400", ', model="distilbert"'), "10m", "585s"),
        one("intentstream_releases_behind", "0x400", ', model="distilbert"'),
    ),
    objective("1h", "5m", 0.0144, "2m", "105s"),
    objective("6h", "30m", 0.006, "15m", "885s"),
    objective("1d", "2h", 0.003, "1h", "3585s"),
    objective("3d", "6h", 0.001, "3h", "10785s"),
)


@pytest.fixture
def promtool(promtool_program: Path, tmp_path: Path) -> Promtool:
    return Promtool(promtool_program, tmp_path)


def scenarios(case: Case) -> list[Scenario]:
    """Return all that is specified of an alert."""
    times = sorted({each.at for each in case.fires})
    found = [Scenario(case.base | quiet, tuple(firing(at) for at in times)) for quiet in case.quiet]
    for fires in case.fires:
        before = (firing(fires.before),) if fires.before else ()
        found.append(Scenario(case.base | fires.series, (*before, firing(fires.at, case.alert))))
    return found


def labels_of(rule: dict[str, Any]) -> str:
    window = rule["labels"].get("window")
    return f'{{alertname="{rule["alert"]}"' + (f', window="{window}"}}' if window else "}")


def test_every_alert_is_specified() -> None:
    assert sorted(map(labels_of, RULES)) == sorted(case.alert for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_where_it_should_and_nowhere_else(promtool: Promtool, case: Case) -> None:
    assert promtool.faults(ALERTS, scenarios(case)) == ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_no_threshold_can_be_moved_unnoticed(promtool: Promtool, case: Case) -> None:
    (rule,) = (rule for rule in RULES if labels_of(rule) == case.alert)
    unnoticed = [
        what
        for what, changed in moved(rule)
        if not promtool.faults({"groups": [{"name": "moved", "rules": [changed]}]}, scenarios(case))
    ]
    assert unnoticed == []


def asked(
    *, http: int = 0, failed: int = 0, out: int = 0, unanswered: int = 0, buried: int = 0, refused: int = 0
) -> Series:
    return {
        'http_requests_total{route="/api/v1/intents/classify", status="200"}': f"0+{http - failed}x400",
        'http_requests_total{route="/api/v1/intents/classify", status="503"}': f"0+{failed}x400",
        'http_requests_total{route="/health/ready", status="503"}': "0+9999x400",
        "intentstream_events_out_total": f"0+{out}x400",
        'model_selection_total{tier="none", strategy="adaptive"}': f"0+{unanswered}x400",
        'model_selection_total{tier="rules", strategy="adaptive"}': f"0+{out}x400",
        'intentstream_events_dead_lettered_total{code="internal_error"}': f"0+{buried}x400",
        'intentstream_events_dead_lettered_total{code="no_text"}': f"0+{refused}x400",
    }


@pytest.mark.parametrize(
    ("series", "share"),
    [
        (asked(http=100, failed=3, out=100), 0.015),
        (asked(out=200, unanswered=6), 0.03),
        (asked(out=200, buried=5, refused=50), 0.025),
        ({"intentstream_events_out_total": "0+7x400"}, 0.0),
    ],
    ids=["HTTP", "no tier", "dead letters", "all well"],
)
def test_what_is_our_fault_is_recorded_as_a_share_of_what_is_asked(
    promtool: Promtool, series: Series, share: float
) -> None:
    expected = tuple(
        Expected(f"round({metric}, 0.0001)", "30m", {"{}": share})
        for metric in ("intentstream:errors:ratio_rate5m", "intentstream:errors:ratio_rate1h")
    )
    assert promtool.faults(RECORDED, [Scenario(series, expected)]) == ""


def test_every_window_of_the_errors_is_recorded_alike() -> None:
    rules = {rule["record"].rpartition("_rate")[2]: rule["expr"] for rule in RECORDED["groups"][0]["rules"][2:]}
    assert rules.keys() == {"5m", "30m", "1h", "2h", "6h", "1d", "3d"}
    assert len({expression.replace(f"[{window}]", "[]") for window, expression in rules.items()}) == 1


def test_the_lag_of_a_topic_is_that_of_all_workers(promtool: Promtool) -> None:
    series = partition(7, "1x400") | {
        'intentstream_lag_messages{instance="v", topic="t", partition="4"}': "5x400",
        'intentstream_lag_seconds{instance="v", topic="t", partition="4"}': "3x400",
        'intentstream_lag_seconds{instance="w", topic="t", partition="3"}': "4x400",
    }
    expected = (
        Expected("intentstream:lag_messages:sum", "1m", {'intentstream:lag_messages:sum{topic="t"}': 12}),
        Expected("intentstream:lag_seconds:max", "1m", {'intentstream:lag_seconds:max{topic="t"}': 4}),
    )
    assert promtool.faults(RECORDED, [Scenario(series, expected)]) == ""


def test_prometheus_accepts_the_configuration_and_the_rules(promtool: Promtool) -> None:
    assert promtool.complaints("check", "config", str(FOLDER / "prometheus.yml")) == ""
    for file in (ALERTS_FILE, RECORDED_FILE):
        assert promtool.complaints("check", "rules", "--lint-fatal", "--lint=all", str(file)) == ""


@pytest.mark.parametrize(
    "rule", [*RULES, *RECORDED["groups"][0]["rules"]], ids=lambda rule: rule.get("alert") or rule["record"]
)
def test_every_metric_in_a_rule_is_one_that_a_worker_exports(rule: dict[str, Any]) -> None:
    assert unknown_in(rule["expr"]) == []


@pytest.mark.parametrize("rule", RULES, ids=labels_of)
def test_every_alert_says_what_it_means_and_leads_to_a_page_that_says_more(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    page = (ROOT / annotations["runbook_url"]).read_text()
    assert rule["alert"] in page
    for heading in ("## What it means", "## How to see it", "## What to do"):
        assert heading in page


def test_every_runbook_is_led_to() -> None:
    linked = {rule["annotations"]["runbook_url"] for rule in RULES}
    assert {str(page.relative_to(ROOT)) for page in (ROOT / "docs" / "runbooks").glob("*.md")} == linked
