"""What is said in the benchmark of sealing: texts of the length that is asked for, each another, by people in turn."""

from __future__ import annotations

import pytest

from infra.bench.sealing import _SPEAKERS, _measure, _utterances
from infra.chaos.utterances import our_texts


@pytest.mark.parametrize("characters", [25, 4_000])
def test_a_text_is_as_long_as_asked(characters: int) -> None:
    assert {len(each.text) for each in _utterances(["hello", "where is my parcel?"], characters, 20)} == {characters}


def test_no_text_is_said_twice_so_that_none_compresses_to_nothing() -> None:
    said = [each.text for each in _utterances(our_texts(), 25, 2_000)]
    assert len(set(said)) == len(said)


def test_so_many_people_speak_before_one_speaks_again_that_each_persons_first_text_can_be_told() -> None:
    speakers = [each.user_id for each in _utterances(["hello"], 25, 2 * _SPEAKERS)]
    assert len(set(speakers[:_SPEAKERS])) == _SPEAKERS
    assert speakers[_SPEAKERS:] == speakers[:_SPEAKERS]


def test_a_measure_names_its_side_before_its_unit() -> None:
    assert _measure("read_first_us", "sealed", 25) == "read_first_sealed_us_at_25"
