"""A probability of 0.9 means right nine times in ten."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration import calibration_error, softmax
from models.training.temperature import fit_temperature


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_the_temperature_that_made_the_logits_is_found_again(temperature: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 5)).astype(np.float32) * 2
    truth = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)  # a draw from the softmax of the logits
    assert fit_temperature(logits * np.float32(temperature), truth) == pytest.approx(temperature, rel=0.05)


def test_huge_logits_are_still_probabilities() -> None:
    rows = softmax(np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], np.float32), 0.1)
    np.testing.assert_allclose(rows, np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]), atol=1e-6)


def test_the_error_is_the_gap_between_what_is_said_and_what_is_so() -> None:
    confidence = np.array([0.9] * 10, np.float32)
    assert calibration_error(confidence, np.array([True] * 9 + [False])) == pytest.approx(0.0, abs=1e-6)
    assert calibration_error(confidence, np.array([True] * 4 + [False] * 6)) == pytest.approx(0.5, abs=1e-6)
