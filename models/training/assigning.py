"""Makes of what people corrected, and of what was said lately, what a network is to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.distilbert import DistilbertModel
from models.taught_network import Taught
from models.training.assignment import Assignment
from models.training.relearning import labelled
from models.training.self_training import take_for

if TYPE_CHECKING:
    from models.encoder import Encoder
    from models.learning.material import Material
    from models.training.assignment import Folders, Said


def assign(
    material: Material, encoder: Encoder, folders: Folders, *, owner: str, learnt: int, lessons: int, threads: int
) -> Assignment:
    """Return what is to be learnt. Blocks while the champion and the encoder read what was said.

    What was said lately is taken for what the champion says of it and of the texts nearest to it, and what is known of
    those.

    Args:
        material: All of it.
        encoder: Tells what is near.
        folders: Of the releases.
        owner: Name of the owner's release.
        learnt: The revision of the corrections' log that the champion has learnt; 0: it is the owner's.
        lessons: The one that this attempt learns.
        threads: Of training, on a processor.

    Raises:
        TierUnavailableError: The champion was trained for another catalogue.
    """
    labels = material.catalogue.labels
    champion = DistilbertModel(folders.champion, labels, threads=1)
    columns = {label: column for column, label in enumerate((*labels, None))}
    new = {lesson.text: columns[lesson.intent] for lesson in material.lessons if lesson.revision > learnt}
    known = labelled(material.without(new))
    return Assignment(
        owner=str(folders.owner),
        champion=str(folders.champion),
        out=str(folders.out),
        labels=tuple(labels),
        known=tuple(zip(known.texts, known.truth.tolist(), strict=True)),
        new=tuple(new.items()),
        guessed=_guessed(material, encoder, champion),
        taught=Taught(owner=owner, lessons=lessons, traffic=len(material.traffic), texts=tuple(material.keys)),
        seed=lessons,
        threads=threads,
    )


def _guessed(material: Material, encoder: Encoder, champion: DistilbertModel) -> tuple[Said, ...]:
    texts = material.unlabelled
    if not texts:
        return ()
    known = labelled(material)
    guess = take_for(encoder.embed(known.texts), known.truth, encoder.embed(texts), champion.predict(texts))
    return tuple(zip(texts, np.asarray(guess.columns).tolist(), strict=True))
