"""What somebody alone says is taught only where others, or the classifier, mostly agree with them."""

from __future__ import annotations

import pytest

from models.learning.reliability import disputed, reliability, vouched_for
from schemas.events import Lesson, Vote

AT = "2026-01-01T00:00:00Z"


def lesson(text: str, *people: str, accepted: bool = True, intent: str = "refund", says: str = "refund") -> Lesson:
    votes = tuple(Vote(person_id=person, intent=says, at=AT) for person in people)
    return Lesson(text=text, intent=intent, accepted=accepted, votes=votes, revision=1, changed_at=AT)


def taught(*lessons: Lesson) -> list[str]:
    return [each.text for each in vouched_for(lessons, reliability(lessons))]


LIES = tuple(lesson(f"lie {number}", "eve", accepted=False) for number in range(5))


def test_who_is_new_is_believed_in_what_was_accepted() -> None:
    assert taught(lesson("a", "ada")) == ["a"]


def test_who_is_seldom_agreed_with_is_not_believed_alone() -> None:
    assert taught(lesson("a", "eve"), *LIES) == []


def test_a_vote_for_something_else_than_what_was_learnt_is_no_agreement() -> None:
    said = reliability([lesson(text, "eve", says="greeting") for text in ("a", "b", "c")])
    assert said["eve"] < 0.5


def test_what_somebody_reliable_says_too_is_taught() -> None:
    assert taught(lesson("a", "eve", "ada"), lesson("b", "ada"), *LIES) == ["a", "b"]


def test_who_is_proven_needs_nobody_else() -> None:
    proven = [lesson(text, "ada") for text in ("a", "b", "c", "d")]
    assert taught(*proven, lesson("e", "ada", accepted=False), *LIES) == ["a", "b", "c", "d", "e"]


def test_who_is_new_waits_for_somebody_else() -> None:
    assert taught(lesson("a", "ada", accepted=False), *LIES) == []


def test_what_is_disputed_waits_whoever_says_it() -> None:
    proven = [lesson(text, "ada") for text in ("a", "b", "c", "d")]
    mine, other = lesson("e", "ada", accepted=False), lesson("e", "bob", says="greeting")
    disputed = Lesson(
        text="e", intent="refund", accepted=False, votes=(*mine.votes, *other.votes), revision=1, changed_at=AT
    )
    assert "e" not in taught(*proven, disputed)


def test_a_text_is_in_doubt_if_somebody_believed_disputes_it_and_not_if_only_a_liar_does() -> None:
    proven = [lesson(text, "ada") for text in ("a", "b", "c", "d")]
    waiting = [lesson("e", "ada", accepted=False), lesson("f", "eve", "ada", accepted=False), *LIES]
    assert disputed(waiting, reliability([*proven, *waiting])) == {"e", "f"}


def test_while_nobody_is_believed_every_text_that_somebody_disputes_is_in_doubt() -> None:
    assert disputed(LIES, reliability(LIES)) == {lie.text for lie in LIES}


def test_liars_are_told_from_others_however_much_they_say() -> None:
    honest = [lesson(f"{person} {number}", f"honest-{person}") for person in range(8) for number in range(2)]
    lies = [
        lesson(f"lie {person} {number}", f"liar-{person}", accepted=number < 2)
        for person in range(2)
        for number in range(40)
    ]
    said = reliability([*honest, *lies])
    assert min(said[f"honest-{person}"] for person in range(8)) > 0.9
    assert max(said[f"liar-{person}"] for person in range(2)) == pytest.approx(0, abs=0.01)
