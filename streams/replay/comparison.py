"""Holds answers of the past against those that would be given: counts and sums only, however long the stretch is."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from models.answer import Answer
    from schemas.events import Result

TOLERANCE = 1e-6
"""Scores nearer to each other than this are the same: they were added up in another order at most."""

_MOST_SHOWN = 20


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One result that would be another. `intentstream explain` shows how it came about.

    Attributes:
        result_id: Whose.
        before: The intent it has; None is out of scope, here and everywhere.
        after: The intent it would have.
    """

    result_id: str
    before: str | None
    after: str | None


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """So many results of one intent would have another."""

    before: str | None
    after: str | None
    results: int


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How often an intent was answered, and how often it would be."""

    intent: str | None
    before: int
    after: int


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How far confidences are apart, of answers whose intent is the same.

    Attributes:
        results: How many there are.
        beyond_tolerance: How many are further apart than 1e-6.
        largest: The largest difference; 0 where there are none.
        mean: Of all.
    """

    results: int
    beyond_tolerance: int
    largest: float
    mean: float


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Answers that people corrected, and the guard believed them.

    People look where they doubt: this tells one of the two from the other, and nothing of all the answers.

    Attributes:
        results: How many were corrected.
        right_before: How many had the intent that people gave them, all the same.
        right_after: How many would have it.
    """

    results: int
    right_before: int
    right_after: int


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison came to.

    Attributes:
        compared: Results.
        labels_changed: How many would have another intent.
        tiers_before: How many each tier answered.
        tiers_after: How many each would.
        scores: Of all whose intent is the same.
        scores_by_tier: The same, by the tier that answered both.
        confusions: Of those whose intent is not, the most frequent first.
        intents: That would be answered more or less often, those furthest apart first.
        changed: The first that would be another.
        judged: By people; None where they corrected nothing.
    """

    compared: int
    labels_changed: int
    tiers_before: dict[str, int]
    tiers_after: dict[str, int]
    scores: Scores
    scores_by_tier: dict[str, Scores]
    confusions: tuple[Confusion, ...]
    intents: tuple[Shift, ...]
    changed: tuple[Change, ...]
    judged: Judged | None


class _Sum:
    """Differences of scores, added up."""

    def __init__(self) -> None:
        self._count = self._beyond = 0
        self._largest = self._total = 0.0

    def add(self, difference: float) -> None:
        self._count += 1
        self._beyond += difference > TOLERANCE
        self._largest = max(self._largest, difference)
        self._total += difference

    def scores(self) -> Scores:
        return Scores(
            results=self._count,
            beyond_tolerance=self._beyond,
            largest=self._largest,
            mean=self._total / max(1, self._count),
        )


class Comparison:
    """Takes one pair after the other."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[str | None, str | None]] = Counter()
        self._tiers_before: Counter[str] = Counter()
        self._tiers_after: Counter[str] = Counter()
        self._scores = _Sum()
        self._scores_by_tier: defaultdict[str, _Sum] = defaultdict(_Sum)
        self._changed: list[Change] = []
        self._judged = self._right_before = self._right_after = 0

    def add(self, before: Result, after: Answer) -> None:
        """Take a result, and what would be answered in its place."""
        self._pairs[before.intent, after.intent] += 1
        self._tiers_before[before.tier] += 1
        self._tiers_after[after.tier] += 1
        if before.intent == after.intent:
            difference = math.fabs(before.confidence - after.confidence)
            self._scores.add(difference)
            if before.tier == after.tier:
                self._scores_by_tier[before.tier].add(difference)
        elif len(self._changed) < _MOST_SHOWN:
            self._changed.append(Change(result_id=before.id, before=before.intent, after=after.intent))

    def judge(self, before: Result, after: Answer, right: str | None) -> None:
        """Take what people say is right of a pair that was added."""
        self._judged += 1
        self._right_before += before.intent == right
        self._right_after += after.intent == right

    def differences(self) -> Differences:
        """Return what there is to say."""
        changed = Counter({pair: count for pair, count in self._pairs.items() if pair[0] != pair[1]})
        judged = Judged(results=self._judged, right_before=self._right_before, right_after=self._right_after)
        return Differences(
            compared=self._pairs.total(),
            labels_changed=changed.total(),
            tiers_before=dict(self._tiers_before.most_common()),
            tiers_after=dict(self._tiers_after.most_common()),
            scores=self._scores.scores(),
            scores_by_tier={tier: some.scores() for tier, some in self._scores_by_tier.items()},
            confusions=tuple(
                Confusion(before=before, after=after, results=count) for (before, after), count in changed.most_common()
            ),
            intents=self._shifts(),
            changed=tuple(self._changed),
            judged=judged if judged.results else None,
        )

    def _shifts(self) -> tuple[Shift, ...]:
        before: Counter[str | None] = Counter()
        after: Counter[str | None] = Counter()
        for (was, would_be), count in self._pairs.items():
            before[was] += count
            after[would_be] += count
        shifts = [
            Shift(intent=intent, before=before[intent], after=after[intent])
            for intent in before | after
            if before[intent] != after[intent]
        ]
        return tuple(sorted(shifts, key=lambda each: (-abs(each.after - each.before), each.intent or "")))
