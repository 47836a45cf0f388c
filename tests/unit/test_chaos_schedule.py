"""The schedule of faults is its seed's, and leaves no kind out."""

from __future__ import annotations

from collections import Counter

from infra.chaos.schedule import Kind, draw_schedule


def test_the_same_seed_draws_the_same_schedule() -> None:
    assert draw_schedule(50, seed=7, workers=3) == draw_schedule(50, seed=7, workers=3)


def test_another_seed_draws_another() -> None:
    assert draw_schedule(50, seed=7, workers=3) != draw_schedule(50, seed=8, workers=3)


def test_a_longer_schedule_begins_as_a_shorter_one() -> None:
    assert draw_schedule(60, seed=7, workers=3)[:20] == draw_schedule(20, seed=7, workers=3)


def test_no_kind_comes_again_before_all_have_come() -> None:
    drawn = draw_schedule(2 * len(Kind), seed=7, workers=3)
    assert Counter(fault.kind for fault in drawn[: len(Kind)]) == Counter(Kind)
    assert Counter(fault.kind for fault in drawn[len(Kind) :]) == Counter(Kind)


def test_only_the_kinds_asked_for_come_in_whatever_order_they_are_named() -> None:
    named = (Kind.POISON, Kind.BROKER_CUT)
    drawn = draw_schedule(6, seed=7, workers=1, kinds=named)
    assert {fault.kind for fault in drawn} == set(named)
    assert drawn == draw_schedule(6, seed=7, workers=1, kinds=named[::-1])


def test_every_worker_gets_its_share() -> None:
    drawn = draw_schedule(200, seed=7, workers=3)
    assert {fault.worker for fault in drawn} == {0, 1, 2}
