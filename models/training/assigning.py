"""Makes of what people corrected, and of what was said lately, what a network is to learn."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from models.distilbert import DistilbertModel
from models.kept_embeddings import KeptEmbeddings
from models.learning.lessons import lesson_key
from models.taught_network import Taught
from models.training.assignment import Assignment
from models.training.relearning import labelled
from models.training.self_training import take_for

if TYPE_CHECKING:
    from models.encoder import Encoder
    from models.learning.material import Material
    from models.prediction import Probabilities
    from models.training.assignment import Folders, Said
    from schemas.events import Lesson


def assign(
    material: Material, encoder: Encoder, folders: Folders, *, learnt: Taught, lessons: int, threads: int
) -> Assignment:
    """Return what is to be learnt. Blocks while the champion and the encoder read what was said.

    What was said lately is taken for what the champion says of it and of the texts nearest to it, and what is known of
    those; for the twin, what is known without the corrections that it is asked about.

    Args:
        material: All of it.
        encoder: Tells what is near.
        folders: Of the releases.
        learnt: What the champion has learnt.
        lessons: The revision of the corrections' log that this attempt learns.
        threads: Of training, on a processor.

    Raises:
        TierUnavailableError: The champion was trained for another catalogue.
    """
    labels = material.catalogue.labels
    columns = {label: column for column, label in enumerate((*labels, None))}
    new = {lesson.text: columns[lesson.intent] for lesson in material.lessons if _is_new(lesson, learnt)}
    held_out = {text: column for text, column in new.items() if _lot(text)}
    known = labelled(material.without(new))
    texts = material.unlabelled
    says = DistilbertModel(folders.champion, labels, threads=1).predict(texts) if texts else None
    kept = KeptEmbeddings(encoder)
    return Assignment(
        owner=str(folders.owner),
        champion=str(folders.champion),
        out=str(folders.out),
        labels=tuple(labels),
        known=tuple(zip(known.texts, known.truth.tolist(), strict=True)),
        shown=tuple((text, column) for text, column in new.items() if text not in held_out),
        held_out=tuple(held_out.items()),
        guessed_by_twin=_guessed(material.without(held_out), texts, says, kept),
        guessed=_guessed(material, texts, says, kept),
        taught=Taught(
            owner=learnt.owner,
            lessons=lessons,
            traffic=len(material.traffic),
            # What the champion has learnt is in what it says of others' texts, too.
            texts=tuple(sorted({*material.keys, *learnt.texts})),
        ),
        seed=lessons,
        threads=threads,
    )


def _is_new(lesson: Lesson, learnt: Taught) -> bool:
    return lesson.revision > learnt.lessons or lesson_key(lesson.text) not in learnt.texts


def _lot(text: str) -> bool:
    """Return whether a new correction is kept from the twin: half of them are, the same ones each time."""
    return bool(hashlib.sha256(text.encode()).digest()[0] & 1)


def _guessed(
    material: Material, texts: tuple[str, ...], says: Probabilities | None, encoder: Encoder
) -> tuple[Said, ...]:
    """Return what each text is taken for; one that the champion takes for out of scope is."""
    if says is None:
        return ()
    known = labelled(material)
    guess = take_for(encoder.embed(known.texts), known.truth, encoder.embed(texts), says)
    beyond = says.shape[1] - 1
    columns = np.where(says.argmax(axis=1) == beyond, beyond, guess.columns)
    return tuple(zip(texts, columns.tolist(), strict=True))
