"""What was seen of a release in its shadow: workers' reports, and what people say of the answers that differ.

Read in whichever order, the same records come to the same numbers; so who takes over knows what the one before knew.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from streams.trials.tally import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.events import ShadowReport

_REMEMBERED = 50_000
"""Utterances: those answered otherwise, and those of which people said something."""

_LIKELIEST_MOST = 0.99
"""Of all buckets; with more of them taken, only that there are very many users can be said."""


class Feedback(msgspec.Struct, frozen=True):
    """What somebody says of an answer: that it is right, or what is."""

    utterance_id: str
    person_id: str
    intent: str | msgspec.UnsetType | None = msgspec.UNSET
    """`UNSET` in a confirmation; `None`, that the utterance is out of scope."""


class Seen(NamedTuple):
    """The numbers.

    Attributes:
        texts: How many utterances it was asked about.
        failed: Of how many a tier of its failed, and none of those that answered.
        late: Likewise, that ran out of time.
        skipped: About how many it was not asked.
        different: To how many it would have answered otherwise.
        served: How many were answered with each intent; the empty one: out of scope.
        lost: How many of them it would have given to another.
        gained: How many it would have given to this intent, that another got.
        right: Of those answered otherwise, how many people gave to what it says.
        wrong: Of those, how many people say were answered right, or give to what was answered.
        users: How many there are, about.
        confidence: The mean of what it is.
        served_confidence: The mean of what was answered.
        seconds: What its answers took, a text.
    """

    texts: int = 0
    failed: int = 0
    late: int = 0
    skipped: int = 0
    different: int = 0
    served: Mapping[str, int] = {}
    lost: Mapping[str, int] = {}
    gained: Mapping[str, int] = {}
    right: int = 0
    wrong: int = 0
    users: int = 0
    confidence: float = 0.0
    served_confidence: float = 0.0
    seconds: float = 0.0


class Evidence:
    """What is known of one candidate.

    Args:
        model: Whose release.
        release: Its name.
    """

    def __init__(self, model: str, release: str) -> None:
        self._about = model, release
        self._sums: Counter[str] = Counter()
        self._confidence = self._served_confidence = self._seconds = 0.0
        self._served: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._gained: Counter[str] = Counter()
        self._different: dict[str, tuple[str | None, str | None]] = {}
        self._said: dict[str, Feedback] = {}
        self._judged: set[str] = set()
        self._users: set[int] = set()

    def see_report(self, report: ShadowReport) -> None:
        """Count a report, if it is of this candidate."""
        if (report.model, report.release) != self._about:
            return
        numbers = {name: getattr(report, name) for name in ("texts", "failed", "late", "skipped")}
        self._sums.update(numbers | {"different": len(report.different)})
        self._served.update(report.answers)
        self._confidence += report.confidence * report.texts
        self._served_confidence += report.served_confidence * report.texts
        self._seconds += report.seconds
        self._users.update(report.users)
        for each in report.different:
            self._lost[each.served or ""] += 1
            self._gained[each.candidate or ""] += 1
            _remember(self._different, each.utterance_id, (each.served, each.candidate))
            if (said := self._said.pop(each.utterance_id, None)) is not None:
                self.see_feedback(said)

    def see_feedback(self, feedback: Feedback) -> None:
        """Count what somebody says, if it is of an answer that differs; the first who says so counts."""
        answers = self._different.get(feedback.utterance_id)
        if answers is None:
            _remember(self._said, feedback.utterance_id, feedback)
            return
        if feedback.utterance_id in self._judged:
            return
        served, candidate = answers
        intent = served if feedback.intent is msgspec.UNSET else feedback.intent
        if intent in {served, candidate}:
            self._judged.add(feedback.utterance_id)
            self._sums["right" if intent == candidate else "wrong"] += 1

    def seen(self) -> Seen:
        """Return the numbers."""
        texts = max(1, self._sums["texts"])
        return Seen(
            **{
                name: self._sums[name] for name in ("texts", "failed", "late", "skipped", "different", "right", "wrong")
            },
            served=dict(self._served),
            lost=dict(self._lost),
            gained=dict(self._gained),
            users=_count(len(self._users)),
            confidence=self._confidence / texts,
            served_confidence=self._served_confidence / texts,
            seconds=self._seconds / texts,
        )


def _count(taken: int) -> int:
    """Return how many users there are likely to be in so many buckets (linear counting, Whang et al. 1990)."""
    free = 1 - min(taken / BUCKETS, _LIKELIEST_MOST)
    return round(-BUCKETS * math.log(free))


def _remember(memory: dict[str, Any], key: str, value: object) -> None:
    if len(memory) >= _REMEMBERED:
        del memory[next(iter(memory))]
    memory[key] = value
