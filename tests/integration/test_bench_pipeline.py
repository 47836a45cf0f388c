"""`intentstream bench pipeline` with a real broker for each number of partitions: what is told of each."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.kit.command import COMMAND, command_environment

if TYPE_CHECKING:
    from pathlib import Path

SHORT = ("--rounds", "1", "--events", "5000", "--seconds", "2", "--no-latencies")
COSTS = ("utterances_per_second", "cpu_seconds_per_1000", "broker_cpu_seconds_per_1000", "peak_memory_mb")


def test_it_says_what_a_side_costs_with_each_number_of_partitions(prepared_models: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "bench", "pipeline", "--only", "rules", "--partitions", "1", "--partitions", "3", *SHORT, "--json"],
        capture_output=True,
        check=False,
        timeout=280,
        env=command_environment({"STATE_FOLDER": prepared_models}),
    )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["settings"]["partitions"] == "1, 3"
    measures = report["measures"]
    assert {f"rules_{cost}_at_{number}_partitions" for cost in COSTS for number in (1, 3)} <= measures.keys()
    assert all(value > 0 for value in measures.values())
    assert report["ratios"].keys() == {"rules_cpu_seconds_at_3_partitions_vs_1_partitions"}
