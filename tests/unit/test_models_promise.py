"""What is promised is kept, as often as is said, whatever the answers look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.training.promise import NEVER, RISK, least_choice, least_confidence

if TYPE_CHECKING:
    import numpy.typing as npt

DRAWS = 300


def answers(
    generator: np.random.Generator, texts: int, honesty: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return confidences and whether each was right; an honesty of 1 is calibrated, less is too sure of itself."""
    confidence = generator.beta(6, 1, texts)
    right = generator.random(texts) < confidence**honesty
    return confidence.astype(np.float32), right


@pytest.mark.parametrize("honesty", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("promise", [0.9, 0.97])
def test_a_threshold_breaks_its_promise_no_more_often_than_it_may(honesty: float, promise: float) -> None:
    generator = np.random.default_rng(7)
    confidence, right = answers(generator, 200_000, honesty)
    broken = 0
    for _ in range(DRAWS):
        threshold = least_confidence(*answers(generator, 800, honesty), promise)
        alone = confidence >= threshold
        broken += bool(alone.any() and right[alone].mean() < promise)
    assert broken / DRAWS <= RISK + 0.03


def test_a_threshold_is_not_needlessly_high() -> None:
    generator = np.random.default_rng(1)
    confidence, right = answers(generator, 20_000, 1.0)
    alone = confidence >= least_confidence(confidence, right, 0.95)
    assert 0.95 <= right[alone].mean() < 0.956


@pytest.mark.parametrize("texts", [0, 5, 200])
def test_too_few_texts_promise_nothing(texts: int) -> None:
    assert least_confidence(np.ones(texts, np.float32), np.ones(texts, np.bool_), 0.99) == NEVER


def test_answers_that_are_wrong_promise_nothing() -> None:
    assert least_confidence(np.ones(1000, np.float32), np.zeros(1000, np.bool_), 0.9) == NEVER


def rows(generator: np.random.Generator, texts: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Return probabilities over ten columns that are too sure of themselves, and the truth."""
    logits = generator.normal(size=(texts, 10)) * 2
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (likely.cumsum(axis=1) > generator.random((texts, 1))).argmax(axis=1)
    sure = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
    return sure.astype(np.float32), truth


@pytest.mark.parametrize("promise", [0.8, 0.95, 0.99])
def test_the_choices_hold_the_truth_as_often_as_promised(promise: float) -> None:
    generator = np.random.default_rng(3)
    kept = []
    for _ in range(DRAWS):
        floor = least_choice(*rows(generator, 250), promise)
        likely, truth = rows(generator, 250)
        kept.append((likely[np.arange(250), truth] >= floor).mean())
    assert promise - 0.005 <= np.mean(kept) <= promise + 0.015


def test_with_too_few_texts_every_candidate_is_a_choice() -> None:
    assert least_choice(np.array([[0.9, 0.1]], np.float32), np.array([0]), 0.99) == 0.0
