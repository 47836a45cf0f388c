"""Unlabelled texts make the zero-shot tier better, and nothing serves that nobody looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from models.catalogue import Catalogue, Intent
from models.measures import adaptive_calibration_error
from models.training.self_training import cluster, evened, refine, spread
from models.training.zero_shot import make_zero_shot

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from models.encoder import Encoder

WORDS = ("refund", "parcel", "password", "invoice", "address", "colour")
WIDTH = 32


class Meanings:
    """An encoder that knows one direction an intent; names point beside it, and every text has noise of its own."""

    precision = "int8"

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self._directions = generator.normal(size=(len(WORDS), WIDTH))
        self._aside = generator.normal(size=(len(WORDS), WIDTH)) * 1.2

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = np.stack([self._one(text) for text in texts])
        scaled: npt.NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return scaled

    def _one(self, text: str) -> npt.NDArray[np.float64]:
        place = next(number for number, word in enumerate(WORDS) if word in text)
        if text in WORDS:
            return np.asarray(self._directions[place] + self._aside[place])
        seed = np.random.default_rng([ord(letter) for letter in text])
        return np.asarray(self._directions[place] + seed.normal(size=WIDTH) * 0.9)


def said(number: int, word: str) -> str:
    return f"about my {word} number {number}"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return cast("Encoder", Meanings())


TRAFFIC = [said(number, word) for word in WORDS for number in range(60)]
TEST = [said(number, word) for word in WORDS for number in range(100, 160)]
TRUTH = np.repeat(np.arange(len(WORDS)), 60)


@pytest.mark.parametrize("shots", [0, 2])
def test_what_was_learnt_from_unlabelled_texts_is_right_more_often_and_about_as_sure(
    encoder: Encoder, shots: int
) -> None:
    intents = tuple(Intent(name=word, examples=tuple(said(900 + n, word) for n in range(shots))) for word in WORDS)
    catalogue = Catalogue(name="shop", intents=intents)
    model = make_zero_shot(catalogue, encoder)
    refined = refine(catalogue, model, TRAFFIC)
    before, after = (each.predict(TEST)[:, :-1] for each in (model, refined))
    right = after.argmax(axis=1) == TRUTH
    assert right.mean() >= (before.argmax(axis=1) == TRUTH).mean()
    assert right.mean() > 0.97
    assert adaptive_calibration_error(after.max(axis=1), right) < 0.4
    np.testing.assert_allclose(refined.predict(TEST).sum(axis=1), 1, atol=1e-4)


def test_a_handful_of_texts_changes_nothing(encoder: Encoder) -> None:
    catalogue = Catalogue(name="shop", intents=tuple(Intent(name=word) for word in WORDS))
    model = make_zero_shot(catalogue, encoder)
    assert refine(catalogue, model, TRAFFIC[:3]) is model


def test_texts_gather_around_the_name_they_are_near_to(encoder: Encoder) -> None:
    belonging = cluster(encoder.embed(WORDS), np.arange(len(WORDS)), encoder.embed(TRAFFIC), len(WORDS))
    np.testing.assert_allclose(belonging.sum(axis=1), 1, atol=1e-5)
    assert (belonging.argmax(axis=1) == np.repeat(np.arange(len(WORDS)), 60)).mean() > 0.97


def test_a_text_among_others_of_one_intent_is_taken_for_theirs(encoder: Encoder) -> None:
    guess = np.full((len(TRAFFIC), len(WORDS)), 0.02, np.float32)
    guess[np.arange(len(TRAFFIC)), np.repeat(np.arange(len(WORDS)), 60)] = 0.9
    mistaken = np.arange(0, len(TRAFFIC), 20)
    guess[mistaken] = np.roll(guess[mistaken], 1, axis=1)
    heard = spread(encoder.embed([said(900, word) for word in WORDS]), np.arange(6), encoder.embed(TRAFFIC), guess)
    np.testing.assert_allclose(heard.sum(axis=1), 1, atol=1e-5)
    assert (guess.argmax(axis=1) == np.repeat(np.arange(len(WORDS)), 60)).mean() == pytest.approx(0.95)
    assert (heard.argmax(axis=1) == np.repeat(np.arange(len(WORDS)), 60)).mean() == 1


def test_what_is_known_outweighs_a_guess_and_what_is_out_of_scope_says_nothing() -> None:
    heap = np.tile(np.array([[1.0, 0.0]], np.float32), (5, 1))
    guess = np.tile(np.array([[0.6, 0.4]], np.float32), (5, 1))
    assert (spread(heap[:3], np.array([1, 1, 1]), heap, guess).argmax(axis=1) == 1).all()
    np.testing.assert_allclose(spread(heap[:3], np.array([2, 2, 2]), heap, guess), guess, atol=1e-5)


def test_evening_draws_the_columns_together_and_keeps_rows_that_are_sure() -> None:
    logits = np.zeros((100, 4), np.float32)
    logits[:, 0] = 1.0
    logits[0, 3] = 30.0
    even = evened(logits)
    np.testing.assert_allclose(even.sum(axis=1), 1, atol=1e-5)
    plain = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert even[:, 0].sum() < plain[:, 0].sum()
    assert even[0].argmax() == 3
