"""A model release: a folder whose manifest names every file with its SHA-256, and says what the model was made from."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from models.artefacts import sha256_of
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST_FILE = "manifest.json"

ModelName = Literal["distilbert", "catalogue", "zero_shot"]

DISTILBERT: Final = "distilbert"
CATALOGUE: Final = "catalogue"
ZERO_SHOT: Final = "zero_shot"
"""What a release may be of: a fine-tuned tier, the intents themselves, or what corrections taught the other tier."""

DISAGREEMENT = "disagreement"
"""The metric of a release: on which share of the held-out texts its contest saw it and the champion differ."""
FALL = "share_left."
"""What its metrics begin with that say, of an intent, which share the contest saw left of what it gets."""

_PLAIN_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.(json|onnx|safetensors|txt|yaml)")
"""Beside the manifest and nowhere else; of kinds that are read, not run. Nothing pickled has such a name."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_FILES = 64
_NAME_DIGITS = 12


class DamagedReleaseError(UnavailableError):
    """A release with files that are missing or were changed; installing it again is right."""

    code = "damaged_release"


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was made from, and how good it was found.

    Attributes:
        catalogue: Digest of the catalogue (`models.catalogue.Catalogue.digest`).
        code: Version of intentstream.
        base: The weights that fine-tuning began with.
        corpus: Digest of all texts and their intents (`models.training.corpus.Corpus.digest`).
        recipe: The numbers of the training.
        seed: Of all that chance decided.
        metrics: Accuracies and errors, from 0 to 1, on texts that were not learnt; seconds.
    """

    catalogue: str
    code: str
    base: str = ""
    corpus: str = ""
    recipe: dict[str, float] = {}
    seed: int = 0
    metrics: dict[str, float] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What `manifest.json` holds.

    Attributes:
        model: What it is a release of.
        files: SHA-256 in hex of each file beside the manifest.
        provenance: Of the model in them.
    """

    model: ModelName = DISTILBERT
    files: dict[str, str]
    provenance: Provenance


def make_release(folder: Path, write: Callable[[Path], Provenance], *, model: ModelName = DISTILBERT) -> Manifest:
    """Write a release; a folder that was there is replaced once the new one is whole.

    Args:
        folder: Where the release is to lie.
        write: Writes the files into the folder that it is given, and says where the model came from.
        model: What it is a release of.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        provenance = write(making)
        files = {file.name: sha256_of(file) for file in sorted(making.iterdir())}
        manifest = Manifest(model=model, files=files, provenance=provenance)
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
        content = (folder / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise DamagedReleaseError(f"{folder} is no release: its {MANIFEST_FILE} cannot be read ({error})") from error
    manifest = read_manifest(content, str(folder))
    if wrong := [name for name, digest in manifest.files.items() if not _is(folder / name, digest)]:
        raise DamagedReleaseError(f"the release in {folder} is damaged: {', '.join(wrong)}")
    return manifest


def read_manifest(content: bytes, where: str) -> Manifest:
    """Return what a manifest says, wherever it came from.

    Args:
        content: Of the file.
        where: What it was found in, for a person.

    Raises:
        DamagedReleaseError: It is none, or names what is not to be in a release.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DamagedReleaseError(f"{where} is no release: its {MANIFEST_FILE} cannot be read ({error})") from error
    if len(manifest.files) > _MOST_FILES:
        raise DamagedReleaseError(
            f"{where} is no release: it has {len(manifest.files)} files, and may have {_MOST_FILES}"
        )
    for name, digest in manifest.files.items():
        if name == MANIFEST_FILE or not _PLAIN_FILE.fullmatch(name) or not _DIGEST.fullmatch(digest):
            raise DamagedReleaseError(f"{where} is no release: no file of one may be listed as {name!r}")
    return manifest


def release_name(manifest_sha256: str) -> str:
    """Return what a release is called: the first 12 digits of its manifest's SHA-256, and so of all that is in it."""
    return manifest_sha256[:_NAME_DIGITS]


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
