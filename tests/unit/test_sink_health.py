"""A worker that cannot write to Postgres makes do, and says why."""

from __future__ import annotations

from health.probes import SinkState, WorkerState, overall


def health(sink: SinkState | None) -> tuple[int, dict[str, object]]:
    state = WorkerState(broker_reachable=True, assigned=True, tiers={"rules": True}, sink=sink)
    report = overall(state, {}, version="1.2.3")
    return report.http_status, report.body


def test_a_read_only_sink_is_a_warning_with_its_reason_and_lag() -> None:
    status, body = health(SinkState(writing=True, fault="Postgres: it hangs.", lag_seconds=2.5))
    assert (status, body["status"]) == (200, "warn")
    assert body["checks"]["sink:writes"] == [  # type: ignore[index]  # it is JSON
        {
            "componentId": "sink",
            "componentType": "component",
            "status": "warn",
            "output": "It is read-only. Postgres: it hangs.",
            "observedValue": 2.5,
            "observedUnit": "s",
        }
    ]


def test_a_worker_whose_turn_it_is_not_is_well() -> None:
    assert health(SinkState(writing=False))[1]["status"] == "pass"


def test_a_worker_that_never_writes_says_nothing_of_it() -> None:
    assert "sink:writes" not in health(None)[1]["checks"]  # type: ignore[operator]  # it is JSON
