"""What a candidate would have answered, counted beside what was answered, until it is reported."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import mmh3

from schemas.events import Difference, Outcome, ShadowReport

if TYPE_CHECKING:
    from collections.abc import Collection

    from models.answer import Answer
    from schemas.cloudevents import Received

BUCKETS = 65_536
_FAILURES = frozenset({Outcome.FAILED, Outcome.OPEN, Outcome.UNAVAILABLE})
_LATE = frozenset({Outcome.TIMEOUT})


class Tally:
    """What was seen of one candidate beside one release.

    Args:
        model: The candidate's.
        release: The candidate's.
        served_by: What answered.

    Attributes:
        texts: How many it was asked about.
        skipped: About how many it was not.
    """

    def __init__(self, model: str, release: str, served_by: str) -> None:
        self.about = (model, release, served_by)
        self.texts = self.skipped = 0
        self._failed = self._late = 0
        self._answers: Counter[str] = Counter()
        self._different: list[Difference] = []
        self._users: set[int] = set()
        self._confidence = self._served_confidence = self._seconds = 0.0

    def add(self, received: Received, served: Answer, candidate: Answer) -> None:
        """Count one utterance."""
        utterance = received.utterance
        self.texts += 1
        self._failed += _met(candidate, _FAILURES) and not _met(served, _FAILURES)
        self._late += _met(candidate, _LATE) and not _met(served, _LATE)
        self._answers[served.intent or ""] += 1
        self._confidence += candidate.confidence
        self._served_confidence += served.confidence
        if utterance.user_id is not None:
            self._users.add(_bucket(f"{self.about[1]}.{utterance.user_id}"))
        if served.intent != candidate.intent:
            difference = Difference(
                utterance_id=utterance.id or "-",
                served=served.intent,
                candidate=candidate.intent,
                served_confidence=served.confidence,
                confidence=candidate.confidence,
            )
            self._different.append(difference)

    def took(self, seconds: float) -> None:
        """Count the time of a call."""
        self._seconds += seconds

    def report(self, worker_id: str, reported_at: str) -> ShadowReport:
        """Return all of it."""
        model, release, served_by = self.about
        texts = max(1, self.texts)
        return ShadowReport(
            model=model,
            release=release,
            served_by=served_by,
            worker_id=worker_id,
            texts=self.texts,
            failed=self._failed,
            late=self._late,
            skipped=self.skipped,
            answers=dict(self._answers),
            different=tuple(self._different),
            confidence=min(1.0, self._confidence / texts),
            served_confidence=min(1.0, self._served_confidence / texts),
            seconds=self._seconds,
            users=tuple(sorted(self._users)),
            reported_at=reported_at,
        )


def _met(answer: Answer, outcomes: Collection[Outcome]) -> bool:
    return any(turn.outcome in outcomes for turn in answer.tried)


def _bucket(user: str) -> int:
    return mmh3.hash(user.encode(errors="surrogatepass"), signed=False) % BUCKETS
