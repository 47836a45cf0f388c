"""`intentstream experiments simulate`: a small version of the table that anyone can print."""

from __future__ import annotations

import json

from click.testing import CliRunner

from infra.cli.experiments import command


def test_the_table_says_how_often_the_verdicts_are_right() -> None:
    done = CliRunner().invoke(command, ["simulate", "--runs", "20", "--seed", "1", "--json"])
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    measures = report["measures"]
    assert report["report"] == "experiments simulate"
    for name in measures:
        if "false" in name and "z_test" not in name:
            assert measures[name] <= 10.0, name
    assert measures["no_difference_z_test_false_percent"] >= 15.0
    assert measures["doubling_caught_percent"] == 100.0
    assert measures["doubling_median_events"] <= 6_000
    assert measures["split_48_52_found_percent"] == 100.0
    assert measures["aa_winners_percent"] <= 10.0
