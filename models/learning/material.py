"""What a head is made of: a catalogue, what people's corrections add to it, and texts that nobody labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.catalogue import Catalogue, Intent
from models.learning.lessons import lesson_key
from models.learning.reliability import disputed, reliability, vouched_for
from models.text import normalise

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from models.learning.lessons import Lessons
    from schemas.events import Lesson


class Material(NamedTuple):
    """What one head learns from.

    Attributes:
        catalogue: As its owner wrote it.
        lessons: Corrections that were accepted.
        disputed: Normalised texts of which somebody believed says that they were answered wrong, and not enough people
            what they mean: nothing is learnt from them.
        traffic: What was said lately, as it was said.
    """

    catalogue: Catalogue
    lessons: tuple[Lesson, ...] = ()
    disputed: frozenset[str] = frozenset()
    traffic: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Return the keys of its lessons, by which it can be told whether one was forgotten."""
        return sorted(lesson_key(lesson.text) for lesson in self.lessons)

    @property
    def taught(self) -> Catalogue:
        """Return the catalogue with the lessons among its examples.

        What people say of a text counts more than what the catalogue says of it. Lessons about intents that it lacks
        are left out: whose columns they would be, only its owner can say.
        """
        said: dict[str | None, list[str]] = {label: [] for label in (*self.catalogue.labels, None)}
        for lesson in self.lessons:
            if lesson.intent in said:
                said[lesson.intent].append(lesson.text)
        overruled = {text for texts in said.values() for text in texts}
        return Catalogue(
            name=self.catalogue.name,
            intents=tuple(
                Intent(
                    name=intent.name,
                    description=intent.description,
                    examples=_joined(intent.examples, said[intent.name], overruled),
                    patterns=intent.patterns,
                )
                for intent in self.catalogue.intents
            ),
            out_of_scope=_joined(self.catalogue.out_of_scope, said[None], overruled),
        )

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Return the traffic of which nobody said what it means, each text once."""
        corrected = self.disputed.union(lesson.text for lesson in self.lessons)
        return tuple(text for text in dict.fromkeys(map(normalise, self.traffic)) if text and text not in corrected)

    def without(self, held_out: Collection[str]) -> Material:
        """Return the material without some texts, normalised, wherever they stand in it."""
        intents = tuple(
            Intent(
                name=intent.name,
                description=intent.description,
                examples=_left(intent.examples, held_out),
                patterns=intent.patterns,
            )
            for intent in self.catalogue.intents
        )
        beyond = _left(self.catalogue.out_of_scope, held_out)
        return Material(
            Catalogue(name=self.catalogue.name, intents=intents, out_of_scope=beyond),
            tuple(lesson for lesson in self.lessons if lesson.text not in held_out),
            self.disputed,
            tuple(text for text in self.traffic if normalise(text) not in held_out),
        )


def gather(catalogue: Catalogue, lessons: Lessons, traffic: Sequence[str]) -> Material:
    """Return what there is to learn now.

    Args:
        catalogue: As its owner wrote it.
        lessons: All of them; those count that somebody reliable speaks for.
        traffic: What was said lately, as it was said.
    """
    known = learnable(catalogue, lessons)
    everyone = lessons.by_key.values()
    doubtful = disputed(everyone, reliability(everyone)).difference(lesson.text for lesson in known)
    return Material(catalogue, known, doubtful, tuple(traffic))


def learnable(catalogue: Catalogue, lessons: Lessons) -> tuple[Lesson, ...]:
    """Return the lessons that a model of a catalogue is to learn, the one changed longest ago first."""
    labels = {*catalogue.labels, None}
    everyone = lessons.by_key.values()
    vouched = vouched_for(everyone, reliability(everyone))
    return tuple(lesson for lesson in vouched if lesson.intent in labels)


def forgotten(lessons: Lessons, texts: Collection[str], *, most: int) -> int:
    """Return how many lessons that a model has learnt are gone, and not to make room.

    Args:
        lessons: All there are.
        texts: The keys of those that it has learnt.
        most: So many texts are remembered; where there are so many, what is missing made room for others.
    """
    return 0 if len(lessons) >= most else len(set(texts) - lessons.by_key.keys())


def _joined(examples: Sequence[str], said: Sequence[str], overruled: Collection[str]) -> tuple[str, ...]:
    return *(text for text in examples if normalise(text) not in overruled), *said


def _left(examples: Sequence[str], held_out: Collection[str]) -> tuple[str, ...]:
    return tuple(text for text in examples if normalise(text) not in held_out)
