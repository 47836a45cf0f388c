"""What a soak makes of what it saw: growth that no spike decides, windows, and what is said to be broken."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from infra.bench.report import new_report
from infra.chaos.flatness import growth, late_to_early
from infra.chaos.soak import ENDING, KINDS, Outcome, Window, _broken, _growths, _Span
from infra.chaos.soak_plot import write_plots
from infra.chaos.utterances import distinct, read_texts, utterances
from infra.chaos.vitals import Vital
from schemas.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

RUN = _Span(1_000.0, 1_600.0)


def vitals(pid: int, *, memory_growth: float, seconds: int = 600) -> list[Vital]:
    return [Vital(RUN.begun + at, pid, 400 + memory_growth * at / 600, 50, 30) for at in range(seconds)]


def test_what_goes_up_steadily_has_grown_by_all_of_it() -> None:
    times = list(range(2_000))
    assert growth(times, [100 + 0.01 * at for at in times]) == pytest.approx(20, rel=0.01)


def test_a_spike_at_the_end_is_no_growth() -> None:
    times = list(range(100))
    assert growth(times, [5.0] * 80 + [500.0] * 20) == pytest.approx(0)


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0]])
def test_what_was_looked_at_in_one_moment_has_not_grown(times: list[float]) -> None:
    assert growth(times, [7.0] * len(times)) == 0


def test_the_last_third_is_held_to_the_first() -> None:
    assert late_to_early(np.array([10.0, 10, 10, 99, 99, 99, 20, 20, 20])) == 2
    assert late_to_early(np.array([10.0, 20])) == 1


def test_a_worker_that_began_late_does_not_count_and_the_worst_of_the_others_does() -> None:
    seen = [
        *vitals(1, memory_growth=4),
        *vitals(2, memory_growth=40),
        *vitals(3, memory_growth=9_000, seconds=100),
    ]
    found = _growths(seen, RUN)
    assert found["memory_growth_mb"] == pytest.approx(40, rel=0.01)
    assert found["memory_growth"] == pytest.approx(40 / 420, rel=0.02)
    assert found["descriptor_growth"] == 0


def test_what_is_above_its_bound_is_broken() -> None:
    sound = {"lost": 0.0, "duplicated": 0.0, "disordered": 0.0, "memory_growth": 0.05, "descriptor_growth": 2.0}
    assert _broken(sound) == {}
    assert _broken(sound | {"lost": 1.0, "memory_growth": 0.06}) == {"lost": 1.0, "memory_growth": 0.06}


def test_the_faults_dealt_leave_the_workers_alive() -> None:
    assert not set(KINDS) & ENDING
    assert len(KINDS) > 15


def test_an_endless_stream_of_texts_is_not_kept() -> None:
    said = list(islice(utterances(10**9, distinct(["hello", "goodbye"])), 6))
    assert len({record.value for record in said}) == 6


def test_texts_are_read_by_line_and_a_file_without_any_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("hello\n\n  \ngoodbye\n")
    assert read_texts(file) == ["hello", "goodbye"]
    file.write_text("\n")
    with pytest.raises(InvalidRequestError, match="no text"):
        read_texts(file)
    file.write_bytes(b"caf\xe9\n")
    with pytest.raises(InvalidRequestError, match="not UTF-8"):
        read_texts(file)


def test_the_pictures_show_latency_and_memory(tmp_path: Path) -> None:
    report = new_report("soak", begun=0, settings={}, measures={}, ratios={}, notes=[])
    windows = [Window(RUN.begun + 10 * number, 20.0, 90.0, quiet=True) for number in range(6)]
    write_plots(tmp_path, Outcome(report=report, broken={}, windows=windows, vitals=vitals(1, memory_growth=4)))
    assert "p99" in (tmp_path / "soak-latency.svg").read_text()
    assert "worker 1" in (tmp_path / "soak-memory.svg").read_text()
