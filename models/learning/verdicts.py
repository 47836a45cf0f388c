"""Judges one correction: what it changes about the lessons, and why, so that no one person can teach what is wrong.

Pure: the same lessons, corrections and candidates give the same verdicts, whoever judges.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from models.catalogue_source import INTENT_NAME
from models.learning.lessons import lesson_key
from models.text import normalise
from schemas.events import Lesson, Vote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from models.learning.lessons import Lessons
    from schemas.events import Correction
    from schemas.settings import Learning

_MOST_VOTES = 50
"""Of one text: whoever comes later changes nothing, and a lesson is no place to fill a disk."""

_KEPT_TIMES = 2
"""Times the quota: so many moments of a person are remembered."""


class Judgement(NamedTuple):
    """What comes of a correction."""

    verdict: Literal["accepted", "waiting", "refused"]
    code: str
    reason: str
    people: int = 0
    changed: tuple[Lesson, ...] = ()
    """The lessons as they are now, the text's own first."""
    forgotten: tuple[str, ...] = ()
    """The keys of lessons that had to go to make room."""

    @property
    def revision(self) -> int:
        """Return the revision of the last change; 0: nothing changed."""
        return max((lesson.revision for lesson in self.changed), default=0)


class _Case(NamedTuple):
    """What a correction says of a text, and what was known of it."""

    text: str
    intent: str | None
    before: Lesson | None
    votes: tuple[Vote, ...]
    at: str


class _Refusal(Exception):  # noqa: N818 - it is no error: it is a verdict
    """The correction does not count, and why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Judge:
    """Applies the rules to the lessons, and its own judgements, too.

    Args:
        lessons: As the log has them; changed by each judgement as the log will be.
        labels: Returns the intents of the catalogue that serves.
        rules: Which corrections count.
        max_text_characters: The longest text that is learnt.
    """

    def __init__(
        self, lessons: Lessons, labels: Callable[[], Collection[str]], rules: Learning, *, max_text_characters: int
    ) -> None:
        self._lessons = lessons
        self._labels_of = labels
        self._rules = rules
        self._max_text_characters = max_text_characters
        self._forgotten: dict[str, float] = {}
        self._moments: defaultdict[str, deque[float]] = defaultdict(self._no_moments)
        votes = (vote for lesson in lessons.by_key.values() for vote in lesson.votes)
        for vote in sorted(votes, key=lambda vote: vote.at):
            self._moments[vote.person_id].append(_seconds(vote.at))

    @property
    def _labels(self) -> Collection[str]:
        return self._labels_of()

    def judge(self, correction: Correction, candidates: Collection[str | None], *, at: str) -> Judgement:
        """Return what comes of a correction; the lessons have it in them afterwards.

        Args:
            correction: What a person says.
            candidates: What the classifier thinks of, without any correction; None is out of scope.
            at: When it reached the log, RFC 3339 in UTC.
        """
        try:
            text = self._admit(correction, at)
        except _Refusal as refusal:
            return Judgement("refused", refusal.code, str(refusal))
        self._moments[correction.person_id].append(_seconds(at))
        vote = Vote(person_id=correction.person_id, intent=correction.intent, at=at, user_id=correction.user_id)
        return self.weigh(text, vote, candidates)._replace(forgotten=self._make_room())

    def weigh(self, text: str, vote: Vote, candidates: Collection[str | None]) -> Judgement:
        """Return what comes of a vote that counts; the lessons have it in them afterwards.

        Args:
            text: Normalised.
            vote: Of somebody about it.
            candidates: As for a correction.
        """
        before = self._lessons.by_key.get(lesson_key(text))
        return self._weigh(_Case(text, vote.intent, before, _with_vote(before, vote), vote.at), candidates)

    def forget(self, person_id: str, at: str) -> None:
        """Know nothing any more of a person's corrections of until then, but for their votes in the lessons.

        Args:
            person_id: Whose.
            at: Until when, RFC 3339 in UTC; what comes to light later of that time is refused.
        """
        until = max(_seconds(at), self._forgotten.get(person_id, 0.0))
        self._forgotten[person_id] = until
        later = [moment for moment in self._moments.pop(person_id, ()) if moment > until]
        if later:
            self._moments[person_id].extend(later)

    def _no_moments(self) -> deque[float]:
        return deque(maxlen=_KEPT_TIMES * self._rules.corrections_per_person)

    def _admit(self, correction: Correction, at: str) -> str:
        """Return the normalised text.

        Raises:
            _Refusal: The correction does not count, whoever else says the same.
        """
        text = normalise(correction.text or "")
        if not text:
            raise _Refusal("no_text", "It does not say of which text.")
        if _seconds(at) <= self._forgotten.get(correction.person_id, 0.0):
            raise _Refusal("forgotten", "What this person said until then has been taken back.")
        if len(text) > self._max_text_characters:
            raise _Refusal("text_too_long", f"Its text has more than {self._max_text_characters} characters.")
        intent, before = correction.intent, self._lessons.by_key.get(lesson_key(text))
        said = {vote.person_id: vote.intent for vote in before.votes} if before else {}
        if correction.person_id in said and said[correction.person_id] == intent:
            raise _Refusal("repeated", "The same person has said so before.")
        if correction.person_id not in said and len(said) >= _MOST_VOTES:
            raise _Refusal("enough_votes", f"{_MOST_VOTES} people have spoken about this text.")
        if intent is not None and intent not in self._labels:
            self._admit_new(intent)
        if self._given(correction.person_id, _seconds(at)) >= self._rules.corrections_per_person:
            raise _Refusal(
                "quota",
                f"The same person has given {self._rules.corrections_per_person} corrections "
                f"in {self._rules.quota_seconds:g} s.",
            )
        return text

    def _admit_new(self, intent: str) -> None:
        if not self._rules.new_intent_examples:
            raise _Refusal("unknown_intent", "The catalogue has no such intent.")
        if not INTENT_NAME.fullmatch(intent):
            raise _Refusal("unknown_intent", "The catalogue has no such intent, and it is no name for one.")
        named = {vote.intent for lesson in self._lessons.by_key.values() for vote in lesson.votes}
        new = {name for name in named if name is not None and name not in self._labels}
        if intent not in new and len(new) >= self._rules.max_new_intents:
            raise _Refusal("too_many_intents", f"{len(new)} other intents are being taught that the catalogue lacks.")

    def _given(self, person_id: str, now: float) -> int:
        since = now - self._rules.quota_seconds
        return sum(moment > since for moment in self._moments[person_id])

    def _weigh(self, case: _Case, candidates: Collection[str | None]) -> Judgement:
        """Return whether enough people say so."""
        intent, before = case.intent, case.before
        tally = Counter(vote.intent for vote in case.votes)
        people, most_others = tally[intent], max((tally[other] for other in tally if other != intent), default=0)
        new = intent is not None and intent not in self._labels and not self._is_taught(intent)
        needed, code, why = self._rules.people, "agreed", "that is enough"
        if most_others:
            needed, code, why = max(self._rules.people_in_doubt, most_others + 1), "contradicts", "others say otherwise"
        elif intent not in candidates and not new:
            needed, code, why = self._rules.people_in_doubt, "far_from_candidates", "the classifier thinks of others"
        if people >= needed and not new:
            lesson = self._write(case, intent, accepted=True)
            return Judgement("accepted", "agreed", f"{_people(people)} so.", people, (lesson,))
        if new and not most_others:
            return self._weigh_new(case, people)
        # What was learnt before stands until more people say otherwise.
        standing = before is not None and before.accepted
        lesson = self._write(case, before.intent if standing and before else intent, accepted=standing)
        return Judgement("waiting", code, f"{_people(people)} so, and {why}: {needed} are needed.", people, (lesson,))

    def _weigh_new(self, case: _Case, people: int) -> Judgement:
        """Return whether an intent that the catalogue lacks has been told by enough examples of enough people."""
        rules, intent = self._rules, case.intent
        others = [
            _Case(each.text, intent, each, each.votes, case.at)
            for each in self._lessons.by_key.values()
            if not each.accepted and each.text != case.text and {vote.intent for vote in each.votes} == {intent}
        ]
        examples = [case, *others]
        teachers = {vote.person_id for example in examples for vote in example.votes}
        if len(examples) < rules.new_intent_examples or len(teachers) < rules.new_intent_people:
            reason = (
                f"{len(examples)} of {rules.new_intent_examples} examples by {len(teachers)} of "
                f"{rules.new_intent_people} people teach an intent that the catalogue lacks."
            )
            return Judgement("waiting", "new_intent", reason, people, (self._write(case, intent, accepted=False),))
        learnt = tuple(self._write(example, intent, accepted=True) for example in examples)
        reason = f"{len(examples)} examples by {len(teachers)} people teach an intent that the catalogue lacks."
        return Judgement("accepted", "taught", reason, people, learnt)

    def _is_taught(self, intent: str) -> bool:
        return any(lesson.accepted and lesson.intent == intent for lesson in self._lessons.by_key.values())

    def _write(self, case: _Case, intent: str | None, *, accepted: bool) -> Lesson:
        lesson = Lesson(
            text=case.text,
            intent=intent,
            accepted=accepted,
            votes=case.votes,
            revision=self._lessons.revision + 1,
            changed_at=case.at,
        )
        self._lessons.apply(lesson_key(case.text), lesson)
        return lesson

    def _make_room(self) -> tuple[str, ...]:
        """Forget what is too much: what waits longest first, then what was learnt longest ago."""
        by_key = self._lessons.by_key
        excess = len(by_key) - self._rules.max_texts
        if excess <= 0:
            return ()
        oldest = sorted(by_key, key=lambda key: (by_key[key].accepted, by_key[key].revision))[:excess]
        for key in oldest:
            self._lessons.apply(key, None)
        return tuple(oldest)


def _with_vote(before: Lesson | None, vote: Vote) -> tuple[Vote, ...]:
    others = () if before is None else tuple(each for each in before.votes if each.person_id != vote.person_id)
    return (*others, vote)


def _people(count: int) -> str:
    return "1 person says" if count == 1 else f"{count} people say"


def _seconds(at: str) -> float:
    return dt.datetime.fromisoformat(at).timestamp()
