"""One correction is weighed: who agrees, what the classifier thinks of, how much one person says."""

from __future__ import annotations

import pytest

from models.learning.lessons import Lessons, lesson_key
from models.learning.verdicts import Judge, Judgement
from schemas.events import Correction
from schemas.settings import Learning

LABELS = ("greeting", "refund")
AT = "2026-11-23T09:00:{:02d}.000Z"


class Court:
    """A judge, and the corrections it is brought, a second apart."""

    def __init__(self, lessons: Lessons | None = None, **rules: int) -> None:
        self.lessons = lessons or Lessons()
        self._judge = Judge(self.lessons, lambda: LABELS, Learning(**rules), max_text_characters=100)
        self._second = 0

    def hear(
        self, person: str, text: str | None, intent: str | None, thinks_of: tuple[str | None, ...] = LABELS
    ) -> Judgement:
        self._second += 1
        correction = Correction(utterance_id="u", intent=intent, person_id=person, text=text)
        return self._judge.judge(correction, thinks_of, at=AT.format(self._second))

    def learnt(self) -> dict[str, str | None]:
        return {text: lesson.intent for text, lesson in self.lessons.accepted().items()}


def test_one_person_is_enough_where_the_classifier_thought_of_the_intent_too() -> None:
    court = Court()
    assert court.hear("ada", "  Money BACK ", "refund")[:2] == ("accepted", "agreed")
    assert court.learnt() == {"money back": "refund"}


def test_an_intent_far_from_what_the_classifier_thinks_of_waits_for_a_second_person() -> None:
    court = Court()
    assert court.hear("ada", "money back", "refund", ("greeting", None))[:2] == ("waiting", "far_from_candidates")
    assert court.learnt() == {}
    assert court.hear("bob", "money back", "refund", ("greeting", None)).verdict == "accepted"
    assert court.learnt() == {"money back": "refund"}


def test_out_of_scope_is_learnt_like_an_intent() -> None:
    court = Court()
    assert court.hear("ada", "nice weather", None, ("greeting", None)).verdict == "accepted"
    assert court.learnt() == {"nice weather": None}


def test_what_was_learnt_stands_until_more_people_say_otherwise() -> None:
    court = Court()
    for person in ("ada", "bob"):
        court.hear(person, "money back", "refund")
    verdicts = [court.hear(person, "money back", "greeting")[:2] for person in ("cy", "dee")]
    assert verdicts == [("waiting", "contradicts")] * 2
    assert court.learnt() == {"money back": "refund"}
    assert court.hear("eve", "money back", "greeting").verdict == "accepted"
    assert court.learnt() == {"money back": "greeting"}


def test_who_thinks_again_is_counted_once() -> None:
    court = Court()
    court.hear("ada", "money back", "greeting")
    assert court.hear("ada", "money back", "refund").verdict == "accepted"
    assert court.learnt() == {"money back": "refund"}
    [lesson] = court.lessons.accepted().values()
    assert [vote.person_id for vote in lesson.votes] == ["ada"]


def test_one_person_saying_the_same_again_counts_as_nobody() -> None:
    court = Court()
    court.hear("ada", "money back", "refund", ("greeting",))
    assert court.hear("ada", "Money back", "refund", ("greeting",))[:2] == ("refused", "repeated")
    assert court.learnt() == {}


def test_each_person_has_a_quota_and_nobody_elses() -> None:
    court = Court(corrections_per_person=2, quota_seconds=10)
    verdicts = [court.hear("ada", f"text {number}", "refund")[:2] for number in range(3)]
    assert verdicts == [("accepted", "agreed")] * 2 + [("refused", "quota")]
    assert court.hear("bob", "text 2", "refund").verdict == "accepted"


def test_a_quota_is_remembered_by_whoever_judges_next_and_ends() -> None:
    first = Court(corrections_per_person=2, quota_seconds=10)
    for number in range(2):
        first.hear("ada", f"text {number}", "refund")
    successor = Court(first.lessons, corrections_per_person=2, quota_seconds=10)
    assert successor.hear("ada", "text 2", "refund").code == "quota"
    for number in range(20):
        successor.hear("bob" + str(number), "text 3", "refund")
    assert successor.hear("ada", "text 2", "refund").verdict == "accepted"


@pytest.mark.parametrize(
    ("text", "intent", "code"),
    [(None, "refund", "no_text"), (" ", "refund", "no_text"), ("a" * 101, "refund", "text_too_long")],
)
def test_what_cannot_be_learnt_is_refused_with_the_reason(text: str | None, intent: str, code: str) -> None:
    assert Court().hear("ada", text, intent)[:2] == ("refused", code)


def test_an_intent_that_the_catalogue_lacks_is_refused_where_none_may_be_taught() -> None:
    assert Court(new_intent_examples=0).hear("ada", "help me", "human").code == "unknown_intent"


def test_a_new_intent_is_learnt_once_enough_people_gave_enough_examples() -> None:
    court = Court(new_intent_examples=3, new_intent_people=2)
    assert [court.hear("ada", text, "human").verdict for text in ("one", "two", "three")] == ["waiting"] * 3
    assert court.learnt() == {}
    judgement = court.hear("bob", "four", "human")
    assert (judgement.verdict, judgement.code) == ("accepted", "taught")
    assert court.learnt() == dict.fromkeys(("one", "two", "three", "four"), "human")
    assert judgement.changed[0].text == "four"


def test_once_taught_an_intent_grows_by_what_two_people_say() -> None:
    court = Court(new_intent_examples=1, new_intent_people=1)
    court.hear("ada", "one", "human")
    assert court.hear("ada", "two", "human").code == "far_from_candidates"
    assert court.hear("bob", "two", "human").verdict == "accepted"


def test_there_is_an_end_to_the_intents_that_can_be_taught() -> None:
    court = Court(max_new_intents=1)
    court.hear("ada", "one", "human")
    assert court.hear("ada", "two", "robot").code == "too_many_intents"
    assert court.hear("ada", "three", "not a name").code == "unknown_intent"


def test_there_is_an_end_to_the_texts_and_those_that_wait_go_first() -> None:
    court = Court(max_texts=2)
    court.hear("ada", "waits", "refund", ("greeting",))
    court.hear("ada", "learnt first", "refund")
    assert court.hear("ada", "learnt second", "refund").forgotten == (lesson_key("waits"),)
    assert court.hear("ada", "learnt third", "refund").forgotten == (lesson_key("learnt first"),)
    assert set(court.learnt()) == {"learnt second", "learnt third"}


def test_revisions_have_no_gaps_whatever_was_refused() -> None:
    court = Court(new_intent_examples=2, new_intent_people=1)
    revisions = [
        lesson.revision
        for text, intent in [("a", "refund"), (None, "refund"), ("b", "human"), ("c", "human"), ("d", None)]
        for lesson in sorted(court.hear("ada", text, intent).changed, key=lambda lesson: lesson.revision)
    ]
    assert revisions == list(range(1, 1 + len(revisions)))
