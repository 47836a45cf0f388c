"""A short soak with two faults and an overload: nothing is lost, and the report says what grew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.chaos.schedule import Kind
from infra.chaos.soak import Plan, run_soak
from infra.chaos.utterances import our_texts
from schemas.settings_loading import load_settings
from tests.kit.brokers import JARS

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.drills.conftest import Show

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]


def test_nothing_is_lost_in_a_soak_and_the_report_says_what_grew(
    prepared_models: Path, tmp_path: Path, chance: Random, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if not (prepared_models / "jars").exists():
        (prepared_models / "jars").symlink_to(JARS)
    settings = load_settings().model_copy(update={"state_folder": prepared_models})
    plan = Plan(
        seconds=30,
        seed=chance.randrange(2**31),
        per_second=100,
        faults_per_hour=240,
        kinds=(Kind.REDIS_CUT, Kind.POISON),
        overload_seconds=3,
    )
    outcome = run_soak(settings, plan, our_texts(), say=lambda _: None)
    measures = outcome.report.measures
    assert (measures["lost"], measures["duplicated"], measures["disordered"], measures["faults"]) == (0, 0, 0, 2)
    assert measures["utterances"] > 30 * 100
    assert measures["memory_mb"] > 0
    assert measures["quiet_p99_ms"] > 0
    assert measures["overload_per_second"] > 2 * 100
    assert len(outcome.windows) > 10
    show(f"{ {name: round(value, 2) for name, value in measures.items()} }")
