"""A challenger takes the champion's place only where that is better beyond noise, and costs no intent its place."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.contest import Contest, exceeds_by_chance, judge

INTENTS, EACH = 10, 20


def contest(
    *, won: int = 0, lost: int = 0, lost_of_one: int = 0, lost_of_catalogue: int = 0, corrected: int = 100
) -> Contest:
    """Let a champion and a challenger that are alike differ in so many texts; the first ones are corrections."""
    truth = np.tile(np.arange(INTENTS), EACH)
    champion, challenger = np.ones(len(truth), np.bool_), np.ones(len(truth), np.bool_)
    champion[np.flatnonzero(truth)[:won]] = False
    challenger[corrected - lost : corrected] = False
    challenger[np.flatnonzero(truth == 0)[EACH - lost_of_one :]] = False
    challenger[len(truth) - lost_of_catalogue :] = False
    return judge(champion, challenger, truth, np.arange(len(truth)) < corrected)


def test_the_test_of_paired_answers_is_exact() -> None:
    wins, losses = np.arange(6) < 5, np.arange(6) >= 5
    assert exceeds_by_chance(wins, losses) == pytest.approx((6 + 1) / 2**6)
    assert exceeds_by_chance(losses & wins, wins & losses) == 1


def test_what_gains_more_than_chance_would_is_promoted() -> None:
    found = contest(won=12, lost=2)
    assert (found.promoted, found.texts, found.champion, found.challenger) == (True, 200, 188, 198)


def test_what_chance_could_have_done_is_not() -> None:
    assert contest(won=5, lost=3).code == "no_better"
    assert contest().code == "no_better"


def test_what_is_better_on_corrections_and_worse_on_the_catalogue_is_not() -> None:
    assert contest(won=60, lost_of_catalogue=8).code == "worse_elsewhere"


def test_what_loses_an_intent_is_not_however_good_it_is_at_the_others() -> None:
    assert contest(won=90, lost_of_one=12, corrected=INTENTS * EACH).code == "intent_collapses"


def passed(*, points_better: float, corrections: int, contests: int = 400) -> float:
    """Return how often a challenger that is so much better passes, of those that lose 4.5 points and win others back.

    400 texts of the catalogue, of which the champion has 18 % wrong, and corrections of so many of its other errors.
    """
    chance, lost, wrong, known = np.random.default_rng(0), 0.045, 0.18, 400
    won = lost + points_better / 100
    truth = chance.integers(INTENTS, size=known + corrections)
    new = np.arange(len(truth)) >= known
    promoted = 0
    for _ in range(contests):
        drawn = chance.random(len(truth))
        champion = (drawn >= wrong) & ~new
        answered_anew = chance.random(len(truth))
        challenger = np.where(champion, answered_anew >= lost / (1 - wrong), answered_anew < won / wrong)
        promoted += judge(champion, challenger, truth, new).promoted
    return promoted / contests


def test_one_that_is_worse_by_a_point_seldom_passes_and_one_that_is_better_by_three_mostly() -> None:
    assert passed(points_better=-1, corrections=20) < 0.05
    assert passed(points_better=3, corrections=20) > 0.75


def test_the_more_errors_of_the_champion_are_known_the_more_often_one_as_good_passes() -> None:
    # Corrections tell what the champion got wrong, and nobody says what it got right.
    assert passed(points_better=0, corrections=10) < 0.12
    assert 0.2 < passed(points_better=0, corrections=40) < 0.5
