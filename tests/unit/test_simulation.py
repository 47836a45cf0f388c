"""The core keeps its promises whatever fails whenever, and a core that does not is found out."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from infra.cli.simulate import command
from infra.simulation.mutants import MUTANTS, Mutant
from infra.simulation.run import play

NOTICED_WITHIN_RUNS = 60


def test_every_record_is_answered_once_and_in_order_whatever_fails() -> None:
    played = [play(seed) for seed in range(80)]
    assert [(seed, run.violation) for seed, run in enumerate(played) if run.violation is not None] == []
    assert sum(run.faults for run in played) > 500
    assert sum(run.records for run in played) > 5_000


def test_a_seed_plays_the_same_run_again() -> None:
    assert [play(seed) for seed in range(100, 105)] == [play(seed) for seed in range(100, 105)]


@pytest.mark.parametrize("mutant", MUTANTS[::3], ids=lambda mutant: mutant.name)
def test_a_core_made_wrong_is_found_out(mutant: Mutant) -> None:
    assert any(play(seed, mutant.mutation).violation is not None for seed in range(NOTICED_WITHIN_RUNS))


def test_the_command_counts_what_it_played() -> None:
    done = CliRunner().invoke(command, ["core", "--runs", "3", "--seed", "7", "--json"])
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["report"], report["broken"]) == ("simulate core", [])
    assert (report["measures"]["runs"], report["measures"]["broken_runs"]) == (3, 0)
