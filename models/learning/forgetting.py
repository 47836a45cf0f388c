"""Takes back what one person's feedback taught: the lessons are what they would be had that person said nothing.

What others said of the same texts is weighed again, one vote after the other; and so is what they taught together with
that person, since an intent of the catalogue's own takes fewer examples than one that it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from models.learning.lessons import Lessons, lesson_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from models.learning.verdicts import Judge
    from schemas.events import Lesson, Vote


class Retraction(NamedTuple):
    """What became of one lesson."""

    key: str
    lesson: Lesson | None
    """As it is now; None: nobody else said anything of its text."""
    code: Literal["forgotten", "kept", "changed", "waits"]
    reason: str
    people: int = 0


def forget(
    person_id: str,
    at: str,
    lessons: Lessons,
    *,
    new_judge: Callable[[Lessons], Judge],
    labels: Collection[str],
    candidates: Callable[[Sequence[str]], Sequence[Collection[str | None]]],
    texts: bool = False,
) -> list[Retraction]:
    """Take back what a person said; the lessons are without it afterwards.

    Args:
        person_id: Who.
        at: Until when, RFC 3339 in UTC; what they said later stands.
        lessons: As the log has them.
        new_judge: Makes a judge over other lessons, by the same rules.
        labels: The intents of the catalogue that serves.
        candidates: Returns what the classifier thinks of normalised texts, without any correction.
        texts: Whether it is taken back, too, what others said of this person's own texts.

    Returns:
        What changed, and nothing where the person had taught nothing.
    """

    def is_theirs(vote: Vote) -> bool:
        return vote.at <= at and (vote.person_id == person_id or (texts and vote.user_id == person_id))

    touched = _touched(is_theirs, lessons, labels)
    left = {key: tuple(vote for vote in lesson.votes if not is_theirs(vote)) for key, lesson in touched.items()}
    anew = _weighed_anew(touched, left, lessons, new_judge, candidates)
    retractions = []
    for key, before in touched.items():
        now = anew.get(key)
        if now is not None and (now.intent, now.accepted, now.votes) == (before.intent, before.accepted, before.votes):
            continue
        if now is not None:
            now = msgspec.structs.replace(now, revision=lessons.revision + 1, changed_at=at)
        lessons.apply(key, now)
        retractions.append(_retraction(key, before, now))
    return retractions


def _touched(is_theirs: Callable[[Vote], bool], lessons: Lessons, labels: Collection[str]) -> dict[str, Lesson]:
    """Return the lessons in which the person has a voice, and those of intents that they helped to teach, by key."""
    theirs = {vote.intent for lesson in lessons.by_key.values() for vote in lesson.votes if is_theirs(vote)}
    taught = {intent for intent in theirs if intent is not None and intent not in labels}
    return {
        key: lesson
        for key, lesson in lessons.by_key.items()
        if any(is_theirs(vote) or vote.intent in taught for vote in lesson.votes)
    }


def _weighed_anew(
    touched: Mapping[str, Lesson],
    left: Mapping[str, tuple[Vote, ...]],
    lessons: Lessons,
    new_judge: Callable[[Lessons], Judge],
    candidates: Callable[[Sequence[str]], Sequence[Collection[str | None]]],
) -> Mapping[str, Lesson]:
    """Return what the votes that are left make of the lessons, beside those that nobody touches, by key."""
    scratch = Lessons()
    for key, lesson in lessons.by_key.items():
        if key not in touched:
            scratch.apply(key, lesson)
    texts = [touched[key].text for key, votes in left.items() if votes]
    thought_of = dict(zip(texts, candidates(texts), strict=True)) if texts else {}
    judge = new_judge(scratch)
    votes = [(vote, touched[key].text) for key, those in left.items() for vote in those]
    for vote, text in sorted(votes, key=lambda each: each[0].at):
        judge.weigh(text, vote, thought_of[text])
    return {lesson_key(text): scratch.by_key[lesson_key(text)] for text in texts}


def _retraction(key: str, before: Lesson, now: Lesson | None) -> Retraction:
    if now is None:
        return Retraction(key, None, "forgotten", "Nobody else said anything of this text.")
    people = sum(vote.intent == now.intent for vote in now.votes)
    others = "1 other person says" if people == 1 else f"{people} others say"
    if not now.accepted:
        return Retraction(key, now, "waits", f"{others} so, and that is not enough.", people)
    if before.accepted and before.intent == now.intent:
        return Retraction(key, now, "kept", f"{others} so, too.", people)
    return Retraction(key, now, "changed", f"{others} so.", people)
