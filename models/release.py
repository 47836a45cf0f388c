"""A model release: a folder whose manifest names every file with its SHA-256, and says what the model was made from."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from models.artefacts import sha256_of
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST_FILE = "manifest.json"


class DamagedReleaseError(UnavailableError):
    """A release with files that are missing or were changed; installing it again is right."""

    code = "damaged_release"


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was made from, and how good it was found.

    Attributes:
        base: The weights that fine-tuning began with.
        catalogue: Digest of the catalogue (`models.catalogue.Catalogue.digest`).
        corpus: Digest of all texts and their intents (`models.training.corpus.Corpus.digest`).
        recipe: The numbers of the training.
        seed: Of all that chance decided.
        code: Version of intentstream.
        metrics: Accuracies and errors, from 0 to 1, on texts that were not learnt; seconds.
    """

    base: str
    catalogue: str
    corpus: str
    recipe: dict[str, float]
    seed: int
    code: str
    metrics: dict[str, float]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What `manifest.json` holds.

    Attributes:
        files: SHA-256 in hex of each file beside the manifest.
        provenance: Of the model in them.
    """

    files: dict[str, str]
    provenance: Provenance


def make_release(folder: Path, write: Callable[[Path], Provenance]) -> Manifest:
    """Write a release; a folder that was there is replaced once the new one is whole.

    Args:
        folder: Where the release is to lie.
        write: Writes the files into the folder that it is given, and says where the model came from.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        provenance = write(making)
        files = {file.name: sha256_of(file) for file in sorted(making.iterdir())}
        manifest = Manifest(files=files, provenance=provenance)
        (making / MANIFEST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        making.chmod(0o755)  # a temporary folder is its maker's alone
        _replace(folder, making)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return manifest


def read_release(folder: Path) -> Manifest:
    """Return the manifest of a release after holding every file against it.

    Raises:
        DamagedReleaseError: Files are missing or were changed; each is named.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise DamagedReleaseError(f"{folder} is no release: its {MANIFEST_FILE} cannot be read ({error})") from error
    if wrong := [name for name, digest in manifest.files.items() if not _is(folder / name, digest)]:
        raise DamagedReleaseError(f"the release in {folder} is damaged: {', '.join(wrong)}")
    return manifest


def _is(file: Path, digest: str) -> bool:
    try:
        return sha256_of(file) == digest
    except OSError:
        return False


def _replace(folder: Path, made: Path) -> None:
    """Put the made folder in the place of one that may be there."""
    former = made.with_name(f"{made.name}-former")
    if folder.exists():
        folder.rename(former)
    made.rename(folder)
    shutil.rmtree(former, ignore_errors=True)
