"""What the pipeline's benchmark counts, and whom: new utterances, answers by the broker's clock, who is here."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest

from infra.bench.peers import prepare_peer
from infra.bench.pipeline import _ratios
from infra.bench.pipeline_entrants import (
    ADAPTIVE,
    BARE,
    EVERYONE,
    FAUST,
    LOOP_1,
    LOOP_32,
    QUIX,
    RULES,
    TORCHSERVE,
    installed,
    ours,
    peers,
)
from infra.bench.pipeline_sides import Side
from infra.bench.pipeline_topics import Answer
from infra.bench.pipeline_turns import Shape, _hops, _rate
from infra.chaos.utterances import distinct
from schemas.errors import UnavailableError
from streams.topics import RESULTS

if TYPE_CHECKING:
    from pathlib import Path


def test_no_text_is_said_twice_so_that_nobody_gains_by_remembering() -> None:
    said = list(islice(distinct(["hello", "goodbye"]), 100))
    assert len(set(said)) == len(said)
    assert said[:3] == ["hello", "goodbye", "hello 2"]


def test_answers_a_second_are_counted_by_when_the_broker_appended_them() -> None:
    answers = [Answer(number, appended_at=10 + number / 100, seen_at=15.0) for number in range(101)]
    assert _rate(Side(ADAPTIVE), answers) == pytest.approx(100)


@pytest.mark.parametrize("answers", [[], [Answer(0, 1.0, 1.0)], [Answer(0, 1.0, 1.0), Answer(1, 1.0, 1.0)]])
def test_a_side_that_answered_next_to_nothing_has_no_rate(answers: list[Answer]) -> None:
    with pytest.raises(UnavailableError, match="too few"):
        _rate(Side(ADAPTIVE), answers)


def test_ours_write_to_the_topic_of_results_and_each_peer_to_its_own() -> None:
    peers = [Side(name, peer=("project", "script.py")) for name in ("quix", "bytewax")]
    assert Side(ADAPTIVE).sink == RESULTS
    assert len({RESULTS, *(peer.sink for peer in peers)}) == 3


def test_the_hops_of_an_answer_add_up_to_what_it_took() -> None:
    answer = Answer(1, appended_at=10.070, seen_at=10.085, queue_seconds=0.020, classify_seconds=0.040)
    hops = _hops([answer], sent_at=[0.0, 10.000])
    assert hops[:, 0] == pytest.approx([20, 40, 10, 15])


@pytest.mark.parametrize(
    ("shape", "taking_part"),
    [
        (Shape(1, 1, 1, peers=True), {RULES, ADAPTIVE, QUIX, BARE}),
        (Shape(1, 1, 1, peers=True, only=frozenset({ADAPTIVE, BARE})), {ADAPTIVE, BARE}),
        (Shape(1, 1, 1, peers=True, capacity=4_000.0), set()),
    ],
    ids=["all", "those named", "latencies alone"],
)
def test_who_has_one_question_waits_for_no_other(shape: Shape, taking_part: set[str]) -> None:
    assert {name for name in (RULES, ADAPTIVE, QUIX, BARE) if shape.has(name)} == taking_part


def everyone() -> list[Side]:
    return [*ours(), *peers(threads=2, labels=30, release=None)]


def without_torch(project: str) -> None:
    if project == "models":
        raise UnavailableError("uv could not install peers/models: no route to host")


def test_everyone_who_can_be_named_takes_part() -> None:
    assert sorted([*(side.name for side in everyone()), BARE]) == sorted(EVERYONE)


def test_torchserve_is_given_what_the_loop_with_as_many_texts_is_given() -> None:
    told = {side.name: side.peer[2:] for side in everyone()}
    assert told[TORCHSERVE] == told[LOOP_32]


def test_each_peers_environment_is_made_once_and_ours_needs_none() -> None:
    made: list[str] = []
    sides = everyone()
    assert installed(sides, named=(), say=pytest.fail, prepare=made.append) == sides
    assert made == ["models", "pipeline"]


def test_who_cannot_be_installed_is_left_out_and_the_others_take_part() -> None:
    why, said = "uv could not install peers/models: no route to host", list[str]()
    here = {side.name for side in installed(everyone(), named=(), say=said.append, prepare=without_torch)}
    assert {RULES, ADAPTIVE, QUIX, FAUST} <= here
    assert here.isdisjoint({LOOP_1, LOOP_32, TORCHSERVE})
    assert said == [f"without transformers_loop_1, transformers_loop_32, torchserve: {why}"]


def test_who_is_asked_for_by_name_and_cannot_be_installed_ends_the_benchmark_with_the_reason() -> None:
    with pytest.raises(UnavailableError, match=r"^torchserve: uv could not install .* no route to host"):
        installed(everyone(), named={TORCHSERVE, QUIX}, say=pytest.fail, prepare=without_torch)


def test_whom_uv_cannot_install_is_named_with_its_last_words_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'error: building it' >&2\necho '  no route to host' >&2\nexit 2\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UnavailableError, match=r"peers/models: no route to host: check the network .* try again"):
        prepare_peer("models")


def test_costs_with_more_partitions_are_held_against_those_with_the_fewest() -> None:
    measures = {
        f"{name}_{what}_at_{number}_partitions"
        for name in (RULES, ADAPTIVE, QUIX)
        for what in ("utterances_per_second", "cpu_seconds_per_1000")
        for number in (1, 16)
    }
    ratios = _ratios(measures, ["_at_1_partitions", "_at_16_partitions"])
    assert ratios.keys() == {
        "adaptive_vs_quix_at_1_partitions",
        "adaptive_vs_quix_at_16_partitions",
        "rules_cpu_seconds_at_16_partitions_vs_1_partitions",
        "adaptive_cpu_seconds_at_16_partitions_vs_1_partitions",
        "quix_cpu_seconds_at_16_partitions_vs_1_partitions",
    }
    assert ratios["rules_cpu_seconds_at_16_partitions_vs_1_partitions"] == (
        "rules_cpu_seconds_per_1000_at_16_partitions",
        "rules_cpu_seconds_per_1000_at_1_partitions",
    )


def test_with_one_number_of_partitions_no_name_tells_it_and_adaptive_is_held_against_each_who_does_as_much() -> None:
    measures = {f"{name}_utterances_per_second" for name in (RULES, ADAPTIVE, FAUST, TORCHSERVE, BARE)}
    assert _ratios(measures, [""]) == {
        f"adaptive_vs_{name}": ("adaptive_utterances_per_second", f"{name}_utterances_per_second")
        for name in (TORCHSERVE, FAUST, BARE)
    }


def test_without_adaptive_nobody_is_held_against_it() -> None:
    assert not _ratios({f"{name}_utterances_per_second" for name in (RULES, QUIX)}, [""])
