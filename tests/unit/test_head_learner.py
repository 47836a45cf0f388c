"""The learner tries when there is enough that is new, and makes a head that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from models.catalogue import Catalogue, Intent
from models.learning.lessons import Lessons, lesson_key
from models.prediction import TierUnavailableError
from models.training.learner import HeadLearner
from models.zero_shot_release import MadeFor, load_zero_shot_release, make_zero_shot_release
from schemas.events import Lesson, Vote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

AT = "2026-01-01T00:00:00Z"
WORDS = ("hello", "money", "parcel", "blue", "please", "now")
CATALOGUE = Catalogue(
    name="c",
    intents=tuple(
        Intent(name=name, examples=tuple(f"{word} {more}" for more in ("please", "now", "please now", "now please")))
        for name, word in (("greeting", "hello"), ("refund", "money"), ("order", "parcel"))
    ),
)
BLUE = [f"hello blue {number}" for number in range(20)]


class ByWord:
    """An encoder in which a text is the words that it has."""

    precision = "fp32"

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = np.array([[word in text.split() for word in WORDS] for text in texts], np.float32) + 0.01
        scaled: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return scaled


ENCODER = cast("Any", ByWord())


def learner(*, tried: int = 0, texts: Sequence[str] = (), most: int = 1_000) -> HeadLearner:
    keys = frozenset(map(lesson_key, texts))
    return HeadLearner(CATALOGUE, ENCODER, learnt=tried, tried=tried, texts=keys, after=20, most=most)


def corrected(texts: Sequence[str], intent: str) -> Lessons:
    lessons = Lessons()
    for number, text in enumerate(texts, 1):
        lesson = Lesson(
            text=text,
            intent=intent,
            accepted=True,
            votes=(Vote(person_id="ada", intent=intent, at=AT),),
            revision=number,
            changed_at=AT,
        )
        lessons.apply(lesson_key(text), lesson)
    return lessons


def test_it_is_due_once_there_are_enough_corrections_that_it_can_learn() -> None:
    assert not learner().is_due(corrected(BLUE[:19], "refund"))
    assert not learner().is_due(corrected(BLUE, "an_intent_the_catalogue_lacks"))
    assert learner().is_due(corrected(BLUE, "refund"))
    assert not learner(tried=1).is_due(corrected(BLUE, "refund"))


def test_what_was_tried_is_not_due_again() -> None:
    tried, lessons = learner(), corrected(BLUE, "refund")
    assert tried.attempt(lessons, []) is not None
    assert not tried.is_due(lessons)


def test_a_head_that_learnt_what_the_champion_lacks_is_better_and_knows_it() -> None:
    attempt = learner().attempt(corrected(BLUE, "refund"), [])
    assert attempt is not None
    assert attempt.contest.promoted, attempt.contest.reason
    assert attempt.model is not None
    assert attempt.model.predict(["hello blue sky"]).argmax() == CATALOGUE.labels.index("refund")


def test_corrections_that_say_what_the_catalogue_says_make_no_head() -> None:
    attempt = learner().attempt(corrected([f"hello {number}" for number in range(20)], "greeting"), [])
    assert attempt is not None
    assert (attempt.contest.code, attempt.model) == ("no_better", None)


def test_a_head_that_knows_what_was_forgotten_is_made_anew_without_a_contest() -> None:
    lessons, teacher = corrected(BLUE, "refund"), learner(tried=20, texts=BLUE)
    assert not teacher.is_due(lessons)
    lessons.apply(lesson_key(BLUE[-1]), None)
    assert teacher.is_due(lessons)
    attempt = teacher.attempt(lessons, [])
    assert attempt is not None
    assert (attempt.contest.code, attempt.contest.texts) == ("forgotten", 0)
    assert "1 of the texts" in attempt.contest.reason
    assert attempt.model is not None
    assert attempt.material.keys == sorted(map(lesson_key, BLUE[:-1]))
    assert not teacher.is_due(lessons)  # although what serves is another only once it was fetched


def test_once_all_is_forgotten_nothing_is_left_of_it() -> None:
    lessons = corrected(BLUE, "refund")
    for text in BLUE:
        lessons.apply(lesson_key(text), None)
    attempt = learner(tried=20, texts=BLUE).attempt(lessons, [])
    assert attempt is not None
    assert attempt.model is not None
    assert (attempt.model.predict(BLUE) == learner().untaught().predict(BLUE)).all()


def test_what_made_room_for_others_was_not_forgotten_on_request() -> None:
    lessons = corrected(BLUE, "refund")
    lessons.apply(lesson_key(BLUE[0]), None)
    assert not learner(tried=20, texts=BLUE, most=19).is_due(lessons)
    assert learner(tried=20, texts=BLUE, most=20).is_due(lessons)


def test_who_is_no_longer_asked_gives_up() -> None:
    assert learner().attempt(corrected(BLUE, "refund"), [], goes_on=lambda: False) is None


def test_a_head_is_released_and_loaded_for_the_catalogue_and_the_encoder_that_it_was_made_for(tmp_path: Path) -> None:
    attempt = learner().attempt(corrected(BLUE, "refund"), [])
    assert attempt is not None
    assert attempt.model is not None
    made_for = MadeFor(catalogue=CATALOGUE.digest, encoder="encoder-1", lessons=20)
    make_zero_shot_release(tmp_path / "r", attempt.model, made_for, {})
    loaded = load_zero_shot_release(tmp_path / "r", ENCODER, CATALOGUE.digest, "encoder-1")
    assert (loaded.predict(BLUE) == attempt.model.predict(BLUE)).all()
    with pytest.raises(TierUnavailableError, match="another encoder"):
        load_zero_shot_release(tmp_path / "r", ENCODER, CATALOGUE.digest, "encoder-2")
    with pytest.raises(TierUnavailableError, match="another catalogue"):
        load_zero_shot_release(tmp_path / "r", ENCODER, "0" * 64, "encoder-1")
