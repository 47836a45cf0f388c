"""A handful of faults by the seed, and every promise held afterwards; `DRILL_FAULTS` makes it more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from infra.chaos.run import Plan, run_chaos
from infra.chaos.schedule import Kind
from schemas.settings_loading import load_settings
from tests.kit.brokers import JARS

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.drills.conftest import Show

FAULTS = int(os.environ.get("DRILL_FAULTS", "0"))
"""Of all kinds; without it, those below once each."""

FEW = (Kind.WORKER_KILLED, Kind.REDIS_HUNG, Kind.POSTGRES_KILLED, Kind.POISON)
"""The broker has drills of its own."""

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900 + 60 * FAULTS)]


def test_no_promise_is_broken_while_everything_else_is(
    prepared_models: Path, tmp_path: Path, chance: Random, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if not (prepared_models / "jars").exists():
        (prepared_models / "jars").symlink_to(JARS)
    settings = load_settings().model_copy(update={"state_folder": prepared_models})
    plan = Plan(
        faults=FAULTS or len(FEW),
        seed=chance.randrange(2**31),
        workers=2,
        per_second=50,
        kinds=tuple(Kind) if FAULTS else FEW,
    )
    outcome = run_chaos(settings, plan, say=lambda _: None)
    assert outcome.findings.broken == {}
    assert outcome.findings.events > 0
    show(f"seed {plan.seed}: {outcome.findings}")
