"""Who is to be believed, by how often others, or the classifier, agreed with them.

A liar who answers by chance, or always the same, is agreed with now and then; whoever says what is so, mostly. How
often either is, the people themselves tell: they are taken for two kinds, of a share each that is agreed with, and what
kind somebody is and how often each kind is agreed with are estimated in turns until both go together. It is the model
of Dawid and Skene (1979, doi 10.2307/2346806) with what is accepted standing for what is true.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import numpy.typing as npt

    from schemas.events import Lesson

_LIKELY, _SURE = 0.5, 0.9
"""How likely somebody must say what is so: to be believed in what was accepted, and in what waits for others."""

_ROUNDS = 30
_HONEST, _LYING = (4.0, 1.0), (1.0, 4.0)
"""Votes of each kind, agreed with and not, that are taken for given, and at first are all that is known of it."""

_PEOPLE = (4.0, 1.0)
"""People of each kind, likewise."""


def reliability(lessons: Collection[Lesson]) -> dict[str, float]:
    """Return how likely each person is of the kind that says what is so, from 0 to 1.

    Args:
        lessons: All of them, waiting ones, too.
    """
    said: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for lesson in lessons:
        for vote in lesson.votes:
            said[vote.person_id] += 1
            agreed[vote.person_id] += lesson.accepted and vote.intent == lesson.intent
    counts = np.array([(agreed[person], said[person] - agreed[person]) for person in said], np.float64).reshape(-1, 2)
    return dict(zip(said, _honest(counts).tolist(), strict=True))


def vouched_for(lessons: Iterable[Lesson], reliable: Mapping[str, float]) -> list[Lesson]:
    """Return the lessons that somebody reliable speaks for.

    What was accepted needs somebody who is believed. What waits for a second person, because the classifier thinks of
    other intents, needs somebody who is believed for sure; what is disputed waits, whoever says it.
    """
    return [
        lesson
        for lesson in lessons
        if (lesson.accepted or len({vote.intent for vote in lesson.votes}) == 1)
        and any(
            reliable[vote.person_id] >= (_LIKELY if lesson.accepted else _SURE) and vote.intent == lesson.intent
            for vote in lesson.votes
        )
    ]


def disputed(lessons: Iterable[Lesson], reliable: Mapping[str, float]) -> frozenset[str]:
    """Return the texts of which somebody who is believed says that they mean something else than was answered.

    Liars dispute whatever they are told: heeded, they would keep all that they say themselves from being learnt from.
    While nobody is believed, everybody is heeded.
    """
    believed = {person for person, honest in reliable.items() if honest >= _LIKELY}
    return frozenset(
        lesson.text for lesson in lessons if not believed or any(vote.person_id in believed for vote in lesson.votes)
    )


def _honest(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how likely each person is honest, shape (people,), by votes agreed with and not, shape (people, 2)."""
    kinds = np.array([_HONEST, _LYING])
    people = np.array(_PEOPLE)
    for _ in range(_ROUNDS):
        logs = counts @ np.log(kinds / kinds.sum(axis=1, keepdims=True)).T + np.log(people / people.sum())
        belonging = np.exp(logs - logs.max(axis=1, keepdims=True))
        belonging /= belonging.sum(axis=1, keepdims=True)
        kinds = np.array([_HONEST, _LYING]) + belonging.T @ counts
        people = np.array(_PEOPLE) + belonging.sum(axis=0)
    agreed = kinds[0, 0] / kinds[0].sum()
    # Where even the better kind is seldom agreed with, nobody is known to say what is so.
    honest: npt.NDArray[np.float64] = belonging[:, 0] * (agreed >= _LIKELY)
    return honest
