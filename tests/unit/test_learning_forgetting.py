"""What is left of the lessons once one person's feedback is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.learning.forgetting import Retraction, forget
from models.learning.lessons import Lessons, lesson_key
from models.learning.verdicts import Judge, Judgement
from schemas.events import Correction
from schemas.settings import Learning

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

LABELS = ("greeting", "refund")


class School:
    """Lessons, who taught them, and what the classifier thinks of: everything, unless told otherwise."""

    def __init__(self, **rules: int) -> None:
        self.lessons = Lessons()
        self.thinks_of: tuple[str | None, ...] = LABELS
        self._rules = Learning(**rules)
        self._judge = self._new_judge(self.lessons)
        self._second = 0

    def teach(
        self, person: str, *texts: str, intent: str | None = "refund", user: str | None = None
    ) -> list[Judgement]:
        return [self._hear(person, text, intent, self._now(), user) for text in texts]

    def hear_late(self, person: str, text: str, intent: str | None = "refund") -> Judgement:
        """Hear of something that was said before all else."""
        return self._hear(person, text, intent, "2026-11-23T08:00:00.000Z")

    def forget(self, person: str, *, texts: bool = False) -> dict[str, Retraction]:
        at = self._now()
        self._judge.forget(person, at)
        retractions = forget(
            person,
            at,
            self.lessons,
            new_judge=self._new_judge,
            labels=LABELS,
            candidates=self._candidates,
            texts=texts,
        )
        return {each.key: each for each in retractions}

    def learnt(self) -> dict[str, str | None]:
        return {text: lesson.intent for text, lesson in self.lessons.accepted().items()}

    def people(self) -> set[str]:
        return {vote.person_id for lesson in self.lessons.by_key.values() for vote in lesson.votes}

    def _candidates(self, texts: Sequence[str]) -> list[Collection[str | None]]:
        return [self.thinks_of for _ in texts]

    def _hear(self, person: str, text: str, intent: str | None, at: str, user: str | None = None) -> Judgement:
        correction = Correction(utterance_id="u", intent=intent, person_id=person, text=text, user_id=user)
        return self._judge.judge(correction, self.thinks_of, at=at)

    def _new_judge(self, lessons: Lessons) -> Judge:
        return Judge(lessons, lambda: LABELS, self._rules, max_text_characters=100)

    def _now(self) -> str:
        self._second += 1
        return f"2026-11-23T09:00:{self._second:02d}.000Z"


def test_a_text_of_which_nobody_else_spoke_is_forgotten() -> None:
    school = School()
    school.teach("eve", "a", "b")
    school.teach("ada", "c")
    assert {each.code for each in school.forget("eve").values()} == {"forgotten"}
    assert school.learnt() == {"c": "refund"}
    assert school.people() == {"ada"}


def test_what_others_said_too_is_kept_without_that_persons_voice() -> None:
    school = School()
    school.teach("eve", "a")
    school.teach("ada", "a")
    before = school.lessons.revision
    [retraction] = school.forget("eve").values()
    assert (retraction.code, retraction.people) == ("kept", 1)
    assert school.learnt() == {"a": "refund"}
    assert school.people() == {"ada"}
    assert school.lessons.revision == before + 1


def test_what_too_few_others_said_waits_for_more() -> None:
    school = School()
    school.thinks_of = ("greeting",)
    school.teach("eve", "a")
    school.teach("ada", "a")
    assert school.learnt() == {"a": "refund"}
    [retraction] = school.forget("eve").values()
    assert (retraction.code, retraction.people) == ("waits", 1)
    assert school.learnt() == {}
    school.teach("bob", "a")
    assert school.learnt() == {"a": "refund"}


def test_a_contradiction_ends_with_whoever_made_it() -> None:
    school = School()
    school.teach("eve", "a", intent="greeting")
    school.teach("ada", "a", intent="refund")
    assert school.learnt() == {"a": "greeting"}
    [retraction] = school.forget("eve").values()
    assert retraction.code == "changed"
    assert school.learnt() == {"a": "refund"}


def test_an_intent_that_too_few_others_teach_is_taught_no_more() -> None:
    school = School()
    school.teach("ada", "a", "b", "c", intent="human")
    school.teach("eve", "d", "e", intent="human")
    assert set(school.learnt()) == {"a", "b", "c", "d", "e"}
    retractions = school.forget("eve")
    assert school.learnt() == {}
    assert {key: each.code for key, each in retractions.items()} == {
        **{lesson_key(text): "waits" for text in "abc"},
        **{lesson_key(text): "forgotten" for text in "de"},
    }


def test_an_intent_that_others_teach_enough_goes_on_being_taught() -> None:
    school = School()
    school.teach("ada", "a", "b", "c", intent="human")
    school.teach("bob", "d", "e", intent="human")
    school.teach("eve", "f", intent="human")
    assert [each.code for each in school.forget("eve").values()] == ["forgotten"]
    assert set(school.learnt()) == {"a", "b", "c", "d", "e"}


def test_nothing_is_left_to_forget_the_second_time() -> None:
    school = School()
    school.teach("eve", "a")
    school.teach("ada", "b")
    assert len(school.forget("eve")) == 1
    assert school.forget("eve") == {}
    assert school.forget("nobody") == {}


def test_what_comes_to_light_later_of_before_is_refused_and_what_is_said_after_counts() -> None:
    school = School(corrections_per_person=2)
    school.teach("eve", "a", "b")
    school.forget("eve")
    assert school.hear_late("eve", "c")[:2] == ("refused", "forgotten")
    assert [each.code for each in school.teach("eve", "d", "e", "f")] == ["agreed", "agreed", "quota"]


def test_whose_texts_are_forgotten_what_others_taught_by_them_goes_too_unless_somebody_else_said_the_same() -> None:
    school = School()
    school.teach("agent", "a", "b", user="eve")
    school.teach("other agent", "b", user="ada")
    school.teach("agent", "c", user="ada")
    assert school.forget("eve") == {}
    assert {each.code for each in school.forget("eve", texts=True).values()} == {"forgotten", "kept"}
    assert school.learnt() == {"b": "refund", "c": "refund"}
    assert {vote.user_id for lesson in school.lessons.by_key.values() for vote in lesson.votes} == {"ada"}
