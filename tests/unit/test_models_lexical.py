"""The lexical classifier learns from a catalogue, says how sure it is, and is nothing but arrays on disk."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import Catalogue, Intent
from models.lexical import LexicalModel
from models.ngrams import BUCKETS, ngrams
from models.text import normalise
from models.training.examples import examples_of, label_words
from models.training.lexical import train_lexical

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = Catalogue(
    name="shop",
    intents=(
        Intent(
            name="order_status",
            examples=("where is my parcel", "track my order", "when will my parcel come", "has my order shipped"),
        ),
        Intent(
            name="refund",
            examples=("i want my money back", "refund me please", "give me a refund", "return my money"),
        ),
        Intent(name="greeting", examples=("hello", "hi there", "good morning", "hey you")),
    ),
    out_of_scope=("what is the capital of peru", "sing me a sea shanty", "who won the match", "tell me a riddle"),
)


@functools.cache
def trained() -> LexicalModel:
    """Return one model for all of hypothesis' examples, which cannot share a fixture."""
    return train_lexical(examples_of(CATALOGUE))


@pytest.fixture
def model() -> LexicalModel:
    return trained()


@pytest.mark.parametrize(
    ("text", "column"),
    [("where's my parcel?", 0), ("money back now", 1), ("hello there", 2), ("the capital of france", 3)],
)
def test_it_knows_what_is_like_its_examples(model: LexicalModel, text: str, column: int) -> None:
    assert model.predict([normalise(text)]).argmax() == column


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_whatever_is_said_its_answer_is_probabilities(texts: list[str]) -> None:
    rows = trained().predict([normalise(text) for text in texts])
    assert rows.shape == (len(texts), 4)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_a_text_gets_the_same_answer_alone_and_in_a_batch(texts: list[str]) -> None:
    normal = [normalise(text) for text in texts]
    alone = np.concatenate([trained().predict([text]) for text in normal])
    np.testing.assert_allclose(trained().predict(normal), alone, atol=1e-6)


def test_it_survives_being_saved_and_loaded(model: LexicalModel, tmp_path: Path) -> None:
    model.save(tmp_path / "lexical.safetensors")
    loaded = LexicalModel.load(tmp_path / "lexical.safetensors")
    np.testing.assert_array_equal(loaded.predict(["track my parcel"]), model.predict(["track my parcel"]))


def test_a_model_of_other_ngrams_is_refused(
    model: LexicalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path / "lexical.safetensors")
    monkeypatch.setattr("models.lexical.VERSION", 0)
    with pytest.raises(ValueError, match="train it again"):
        LexicalModel.load(tmp_path / "lexical.safetensors")


def test_training_twice_gives_the_same_model(model: LexicalModel) -> None:
    np.testing.assert_array_equal(train_lexical(examples_of(CATALOGUE)).logits(["hi"]), model.logits(["hi"]))


@pytest.mark.parametrize(
    "intents",
    [
        pytest.param((Intent(name="only"),), id="one intent without examples"),
        pytest.param((Intent(name="yes"), Intent(name="no")), id="two intents without examples"),
        pytest.param((Intent(name="yes", examples=("yes", "sure")), Intent(name="no")), id="examples for one of two"),
    ],
)
def test_the_smallest_catalogues_can_be_served(intents: tuple[Intent, ...]) -> None:
    catalogue = Catalogue(name="small", intents=intents)
    model = train_lexical(examples_of(catalogue))
    for column, intent in enumerate(intents):
        assert model.predict([label_words(intent)]).argmax() == column


def test_without_texts_for_it_nothing_is_out_of_scope() -> None:
    catalogue = Catalogue(name="closed", intents=CATALOGUE.intents)
    assert train_lexical(examples_of(catalogue)).predict(["the capital of peru"])[0, -1] == pytest.approx(0, abs=1e-6)


def test_ngrams_are_words_pairs_of_words_and_runs_within_padded_words() -> None:
    words, characters = ngrams(["ab cd", "ab"])
    assert np.bincount(words.rows).tolist() == [3, 1]  # ab, cd, ab-cd; ab
    # " ab ": 3 of two characters, 2 of three, 1 of four.
    assert np.bincount(characters.rows).tolist() == [12, 6]
    assert set(characters.buckets[characters.rows == 1]) <= set(characters.buckets[characters.rows == 0])


def test_a_run_never_reaches_into_the_next_text() -> None:
    together = ngrams(["ab", "cd"])[1]
    apart = [ngrams([text])[1].buckets for text in ("ab", "cd")]
    for row, buckets in enumerate(apart):
        assert sorted(together.buckets[together.rows == row]) == sorted(buckets)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_every_ngram_has_a_bucket_and_a_text(texts: list[str]) -> None:
    for occurrences in ngrams([normalise(text) for text in texts]):
        assert len(occurrences.rows) == len(occurrences.buckets)
        assert ((occurrences.buckets >= 0) & (occurrences.buckets < BUCKETS)).all()
        assert ((occurrences.rows >= 0) & (occurrences.rows < len(texts))).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [("order_status", "order status"), ("AddToPlaylist", "add to playlist"), ("card-arrival", "card arrival")],
)
def test_a_name_is_read_as_words(name: str, words: str) -> None:
    assert label_words(Intent(name=name)) == words


@pytest.mark.parametrize(
    ("said", "normal"),
    [("  Hello\t THERE\n", "hello there"), ("Cafe\u0301", "café"), ("a\ud800b", "a?b"), ("", "")],
)
def test_texts_that_differ_in_form_alone_are_one(said: str, normal: str) -> None:
    assert normalise(said) == normal
