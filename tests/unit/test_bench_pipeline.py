"""What the pipeline's benchmark counts: utterances that nobody has heard before, and answers by the broker's clock."""

from __future__ import annotations

from itertools import islice

import pytest

from infra.bench.pipeline import ADAPTIVE, _rate
from infra.bench.pipeline_sides import Side
from infra.bench.pipeline_topics import Answer
from infra.chaos.utterances import distinct
from schemas.errors import UnavailableError
from streams.topics import RESULTS


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
