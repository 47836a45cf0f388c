"""What is near to a corrected text is answered as that was; what is far is left alone."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from models.catalogue import Catalogue, Intent
from models.learning.nearness import Groups, Nearness, Space, group
from models.learning.recollection import Recollection, Surroundings
from models.training.nearness import fit_nearness
from schemas.events import Lesson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

INTENTS = 12
EXAMPLES = 12
NEW = "new_intent"


class Words:
    """An encoder in whose eyes texts of one topic, their first word, lie together, each a little apart."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += texts
        rows = [self._place(text.split()[0], 1.0) + self._place(text, 0.35) for text in texts]
        matrix = np.array(rows, np.float32)
        found: npt.NDArray[np.float32] = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        return found

    @staticmethod
    def _place(word: str, length: float) -> npt.NDArray[np.float64]:
        direction = np.random.default_rng(zlib.crc32(word.encode())).standard_normal(48)
        found: npt.NDArray[np.float64] = length * direction / np.linalg.norm(direction)
        return found


def said(topic: str, count: int, first: int = 0) -> list[str]:
    return [f"{topic} spoken of in way {number}" for number in range(first, first + count)]


CATALOGUE = Catalogue(
    name="topics",
    intents=tuple(Intent(name=f"topic{n}", examples=tuple(said(f"topic{n}", EXAMPLES))) for n in range(INTENTS)),
)


SPACE = Space(
    whitening=np.eye(3, dtype=np.float32),
    centre=np.array([0.2, 0.1, -0.3], np.float32),
    spread=np.array([4.0, 0.5, 0.1], np.float32),
)
"""In which intents differ much in one direction, and hardly in another."""


@pytest.fixture(scope="module")
def nearness() -> Nearness:
    return fit_nearness(CATALOGUE, cast("Any", Words()))


def lesson(text: str, intent: str | None, revision: int = 1) -> Lesson:
    return Lesson(text=text, intent=intent, accepted=True, votes=(), revision=revision, changed_at="")


def recollection(nearness: Nearness, *lessons: Lesson, encoder: Words | None = None) -> Recollection:
    encoder = encoder or Words()
    made = Recollection({each.text: each for each in lessons}, len(lessons))
    made.look_around(Surroundings(cast("Any", encoder), nearness, CATALOGUE.labels), encoder.embed(made.texts))
    encoder.asked.clear()
    return made


def intents(made: Recollection, texts: Sequence[str]) -> list[str | None]:
    return ["-" if match is None else match.intent for match in made.near(texts)]


def test_without_an_encoder_the_very_text_is_known_and_nothing_else() -> None:
    made = Recollection({"money back": lesson("money back", "refund", 3)}, 3)
    assert made.same("money back") == ("refund", 1.0, 3, "same", 1.0)
    assert made.same("my money back") is None
    assert made.near(["my money back"]) == [None]


def test_a_text_that_says_the_same_is_answered_the_same(nearness: Nearness) -> None:
    taught = "stranger asks for what nobody knows"
    made = recollection(nearness, lesson(taught, "topic1", 7))
    [match] = made.near(["stranger asks for what nobody knows!"])
    assert match is not None
    assert (match.intent, match.revision, match.how) == ("topic1", 7, "near")
    assert match.confidence == nearness.precision


def test_a_text_nearer_to_an_example_of_another_intent_is_left_alone(nearness: Nearness) -> None:
    example = "topic3 spoken of in way 5"
    made = recollection(nearness, lesson("topic3 spoken of in way 99", "topic1"))
    assert intents(made, [example]) == ["-"]


def test_what_shares_no_words_is_not_even_embedded(nearness: Nearness) -> None:
    encoder = Words()
    made = recollection(nearness, lesson("stranger asks", "topic1"), encoder=encoder)
    assert intents(made, ["topic2 spoken of in way 40"]) == ["-"]
    assert encoder.asked == []


def test_texts_that_belong_with_those_that_teach_an_intent_get_it(nearness: Nearness) -> None:
    made = recollection(nearness, *[lesson(text, NEW) for text in said("visitor", 5)])
    found = intents(made, said("visitor", 20, first=50))
    assert found.count(NEW) >= 17
    assert {NEW, "-"} >= set(found)


def test_what_is_taught_takes_hardly_any_text_of_the_others(nearness: Nearness) -> None:
    made = recollection(nearness, *[lesson(text, NEW) for text in said("visitor", 5)])
    others = [text for n in range(INTENTS) for text in said(f"topic{n}", 20, first=50)]
    assert intents(made, others).count(NEW) <= 1


def test_a_text_is_as_likely_as_the_next_one_of_a_group_that_a_few_of_its_texts_tell_of() -> None:
    """Held against the normal distribution of the next draw, of a mean that has one itself, written out."""
    text, mean, count = np.array([[0.5, -1.0, 2.0]], np.float32), np.array([[1.0, 0.0, 2.5]], np.float32), 3
    prior = np.array([4.0, 0.5, 0.1])
    posterior = 1 / (1 / prior + count)
    expected = multivariate_normal.logpdf(text[0], posterior * (SPACE.centre / prior + count * mean[0]), 1 + posterior)
    likelihoods = SPACE.likelihoods(text, Groups(mean, np.array([count], np.float32)))
    beside = SPACE.likelihoods(text, SPACE.nowhere)
    nowhere = multivariate_normal.logpdf(text[0], SPACE.centre, 1 + prior)
    assert (likelihoods - beside)[0, 0] == pytest.approx(expected - nowhere, abs=1e-4)


def test_a_text_is_no_witness_of_where_its_own_group_lies() -> None:
    texts = np.random.default_rng(3).standard_normal((7, 3)).astype(np.float32)
    members = np.array([0, 0, 0, 1, 1, 1, 1])
    own = SPACE.own_likelihoods(texts, members, group(texts, members, 2))
    for row, member in enumerate(members):
        others = np.flatnonzero((members == member) & (np.arange(len(texts)) != row))
        without = Groups(texts[others].mean(axis=0)[None], np.array([len(others)], np.float32))
        assert own[row] == pytest.approx(SPACE.likelihoods(texts[row][None], without)[0, 0], abs=1e-4)


def test_intents_are_known_to_lie_apart_where_they_do(nearness: Nearness) -> None:
    assert nearness.space is not None
    assert nearness.space.spread.shape == nearness.space.centre.shape
    # Twelve intents lie apart in eleven directions; in the others they only seem to, as if by chance.
    assert (nearness.space.spread > 1.2 * nearness.space.spread.min()).sum() == INTENTS - 1


def test_what_was_fitted_is_the_same_when_it_is_read_again(nearness: Nearness, tmp_path: Path) -> None:
    nearness.save(tmp_path / "nearness")
    read = Nearness.load(tmp_path / "nearness")
    lessons = [lesson(text, NEW) for text in said("visitor", 5)]
    texts = said("visitor", 20, first=50) + said("topic4", 20, first=50)
    assert intents(recollection(read, *lessons), texts) == intents(recollection(nearness, *lessons), texts)


def test_examples_that_are_all_alike_teach_no_new_intent() -> None:
    alike = tuple(Intent(name=f"topic{n}", examples=(f"topic{n} alike",) * 5) for n in range(INTENTS))
    fitted = fit_nearness(Catalogue(name="alike", intents=alike), cast("Any", Words()))
    made = recollection(fitted, *[lesson(text, NEW) for text in said("visitor", 5)])
    assert intents(made, ["topic4 alike"]) == ["-"]


def test_a_catalogue_of_names_alone_takes_nothing_for_near_that_is_not_all_but_the_same() -> None:
    names = Catalogue(name="names", intents=tuple(Intent(name=f"topic{n}") for n in range(INTENTS)))
    fitted = fit_nearness(names, cast("Any", Words()))
    assert (fitted.least_cosine, fitted.space) == (0.95, None)
    made = recollection(fitted, *[lesson(text, NEW) for text in said("visitor", 5)])
    assert intents(made, said("visitor", 3, first=50)) == ["-"] * 3
