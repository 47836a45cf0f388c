"""A head that corrections have taught, as a release: weights over embeddings and hashed n-grams, and no text.

It is worth nothing with another catalogue or encoder than it was made for, and says which those are.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from models.prediction import TierUnavailableError
from models.release import ZERO_SHOT, Manifest, Provenance, make_release, read_release
from models.zero_shot import ZeroShotModel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from models.encoder import Encoder

MADE_FOR_FILE = "made_for.json"


class MadeFor(msgspec.Struct, frozen=True, kw_only=True):
    """What a head goes with.

    Attributes:
        catalogue: Digest of the catalogue whose intents are its columns.
        encoder: Name of the prepared encoder (`models.preparation.Preparation.encoder_name`).
        lessons: The revision of the corrections' log that it has learnt.
        traffic: How many texts without a label it has learnt from, too.
        texts: The keys of the lessons that it has learnt (`models.learning.lessons.lesson_key`), so that it is known
            when one of them is forgotten.
    """

    catalogue: str
    encoder: str
    lessons: int = 0
    traffic: int = 0
    texts: tuple[str, ...] = ()


def make_zero_shot_release(
    folder: Path, model: ZeroShotModel, made_for: MadeFor, metrics: Mapping[str, float]
) -> Manifest:
    """Write a release of a head.

    Args:
        folder: Where it is to lie.
        model: Whose head it is.
        made_for: What it goes with.
        metrics: How good it was found.
    """

    def write(made: Path) -> Provenance:
        model.save(made)
        (made / MADE_FOR_FILE).write_bytes(msgspec.json.encode(made_for))
        return Provenance(
            catalogue=made_for.catalogue, code=version("intentstream"), base=made_for.encoder, metrics=dict(metrics)
        )

    return make_release(folder, write, model=ZERO_SHOT)


def load_zero_shot_release(folder: Path, encoder: Encoder, catalogue: str, encoder_name: str) -> ZeroShotModel:
    """Return the model of a release, with this encoder.

    Args:
        folder: Of the release.
        encoder: Embeds.
        catalogue: Digest of the catalogue that serves.
        encoder_name: Of the prepared encoder.

    Raises:
        TierUnavailableError: It goes with another catalogue or encoder.
        DamagedReleaseError: Its files are not what its manifest says.
    """
    read_release(folder)
    made_for = check_made_for((folder / MADE_FOR_FILE).read_bytes(), catalogue)
    if made_for.encoder != encoder_name:
        raise TierUnavailableError("it was made for another encoder")
    return ZeroShotModel.load(encoder, folder)


def check_made_for(content: bytes, catalogue: str) -> MadeFor:
    """Return what a head says that it goes with, if that is this catalogue.

    Args:
        content: Of its `made_for.json`.
        catalogue: Digest of the catalogue.

    Raises:
        TierUnavailableError: It was made for another, or does not say.
    """
    try:
        made_for = msgspec.json.decode(content, type=MadeFor)
    except msgspec.DecodeError as error:
        raise TierUnavailableError(f"its {MADE_FOR_FILE} cannot be read: {error}") from error
    if made_for.catalogue != catalogue:
        raise TierUnavailableError("it was made for another catalogue")
    return made_for
