"""The numbers mean what their names say; where there is a formula by hand, they agree with it."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures import (
    Confusion,
    adaptive_calibration_error,
    area_under_roc,
    confusions,
    coverage_at,
    intent_qualities,
    percentiles,
    reliability,
)


def test_area_under_roc_is_the_share_of_pairs_in_the_right_order() -> None:
    generator = np.random.default_rng(0)
    inside, outside = generator.integers(0, 9, 40) + 2.0, generator.integers(0, 9, 30) + 0.0
    pairs = [(high > low) + (high == low) / 2 for high in inside for low in outside]
    assert area_under_roc(inside, outside) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(("inside", "outside", "area"), [([2.0], [1.0], 1.0), ([1.0], [2.0], 0.0), ([1.0], [1.0], 0.5)])
def test_area_under_roc_at_its_ends(inside: list[float], outside: list[float], area: float) -> None:
    assert area_under_roc(np.array(inside), np.array(outside)) == area


def test_precision_and_recall_of_each_intent() -> None:
    truth, answered = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 1])
    first, second, third = intent_qualities(truth, answered, 3)
    assert first == pytest.approx((3, 1.0, 2 / 3, 0.8))
    assert second == pytest.approx((1, 1 / 3, 1.0, 0.5))
    assert third == (1, 0.0, 0.0, 0.0)


def test_confusions_come_the_most_frequent_first_and_right_answers_are_none() -> None:
    truth, answered = np.array([0, 1, 1, 1, 2]), np.array([0, 2, 2, 0, 2])
    assert confusions(truth, answered, 3) == [Confusion(1, 2, 2), Confusion(1, 0, 1)]


def test_bins_of_the_reliability_diagram_hold_as_many_answers_each() -> None:
    confidence = np.linspace(0.1, 1.0, 10)
    bins = reliability(confidence, np.arange(10) >= 5, bins=2)
    assert [each.texts for each in bins] == [5, 5]
    assert [each.accuracy for each in bins] == [0.0, 1.0]
    assert bins[0].confidence == pytest.approx(0.3)


def test_the_calibration_error_is_what_was_promised_and_not_kept() -> None:
    confidence = np.full(1000, 0.9)
    assert adaptive_calibration_error(confidence, np.arange(1000) % 10 != 0, bins=1) == pytest.approx(0.0)
    assert adaptive_calibration_error(confidence, np.arange(1000) % 2 == 0, bins=1) == pytest.approx(0.4)


def test_coverage_is_the_largest_share_that_is_as_right_as_asked() -> None:
    confidence, right = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, True, False, True, True])
    assert coverage_at(1.0, confidence, right) == pytest.approx(0.4)
    assert coverage_at(0.8, confidence, right) == pytest.approx(1.0)


def test_coverage_takes_answers_of_one_confidence_together() -> None:
    assert coverage_at(0.9, np.array([0.9, 0.9]), np.array([True, False])) == 0.0


def test_percentiles_are_those_of_the_values() -> None:
    assert percentiles(list(range(101))) == [50.0, 95.0, 99.0]
