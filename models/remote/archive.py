"""Packs a release for TorchServe: a model archive (`.mar`) of its files and our handler, with nothing pickled in it."""

from __future__ import annotations

import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from models.distilbert import LABELS_FILE, MODEL_FILE, TOKENIZER_FILE
from models.prediction import TierUnavailableError
from models.remote.release import release_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".mar"

_ROOT = Path(__file__).parents[2]
_HANDLER = "models/remote/torchserve_handler.py"
_IMPORTED = ("models/__init__.py", "models/session.py", "models/threads.py", "models/tokens.py")
"""What the handler needs of ours; the archive's folder is on its path."""

_MANIFEST = "MAR-INF/MANIFEST.json"
_ARCHIVER_VERSION = "0.12.0"
"""Of the format: https://github.com/pytorch/serve/blob/v0.12.0/model-archiver/README.md."""

_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The same release makes the same bytes."""


def write_archive(release: Path, archive: Path, *, model: str = "distilbert", model_version: str = "1.0") -> None:
    """Write a release as an archive that TorchServe loads; where it is run, onnxruntime and tokenizers are needed.

    Args:
        release: The folder with the model, its tokenizer and its labels (`models.distilbert`).
        archive: Where to write it; it appears whole or not at all.
        model: What TorchServe is to call the model.
        model_version: What it is to call this version of it.

    Raises:
        TierUnavailableError: The folder lacks a file.
        OSError: It cannot be read, or the archive not written.
    """
    if missing := [name for name in (MODEL_FILE, TOKENIZER_FILE, LABELS_FILE) if not (release / name).is_file()]:
        raise TierUnavailableError(f"{release} is no release: it has no {', '.join(missing)}")
    writing = archive.with_name(f".{archive.name}.partial")
    try:
        with zipfile.ZipFile(writing, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(_entry(_MANIFEST), _manifest(model, model_version))
            packed.writestr(_entry(LABELS_FILE), _labels(release))
            for name, file in _files(release):
                packed.writestr(_entry(name), file.read_bytes())
        writing.replace(archive)
    finally:
        writing.unlink(missing_ok=True)


def _files(release: Path) -> Iterator[tuple[str, Path]]:
    """Yield what goes into an archive, by its name there."""
    yield Path(_HANDLER).name, _ROOT / _HANDLER
    for name in _IMPORTED:
        yield name, _ROOT / name
    for name in (MODEL_FILE, TOKENIZER_FILE):
        yield name, release / name


def _labels(release: Path) -> bytes:
    """Return the release's labels with its name beside them, by which its folder here is known to be the same."""
    told = msgspec.json.decode((release / LABELS_FILE).read_bytes())
    return msgspec.json.encode(told | {"release": release_digest(release / MODEL_FILE)})


def _manifest(model: str, model_version: str) -> bytes:
    told = {"modelName": model, "modelVersion": model_version, "handler": Path(_HANDLER).name}
    manifest = {
        "runtime": "python",
        "model": told,
        "archiverVersion": _ARCHIVER_VERSION,
        "createdBy": f"intentstream {version('intentstream')}",
    }
    return msgspec.json.format(msgspec.json.encode(manifest))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
