"""Prepared files on disk: made once, in a folder that appears whole or not at all, and checked before they are used."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_MANIFEST = "manifest.json"
_Digests = dict[str, str]


def prepared(root: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `root/name`, whole; where it is missing or damaged, make it first.

    Several processes may do so at once: each makes its own, and the first to be done is kept.

    Args:
        root: Where prepared folders lie.
        name: What the files are and, in it, a digest of all they depend on.
        make: Writes the files into the folder it is given.
    """
    folder = root / name
    if whole(folder):
        return folder
    root.mkdir(parents=True, exist_ok=True)
    making = _temporary(root, name)
    try:
        make(making)
        digests = {file.name: sha256_of(file) for file in sorted(making.iterdir())}
        (making / _MANIFEST).write_bytes(msgspec.json.encode(digests))
        _place(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def whole(folder: Path) -> bool:
    """Say whether every file that the folder's manifest names is there with its SHA-256."""
    try:
        digests = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=_Digests)
        return all(sha256_of(folder / name) == digest for name, digest in digests.items())
    except (OSError, msgspec.DecodeError):
        return False


def _place(made: Path, folder: Path) -> None:
    """Put the made folder where it belongs, unless a whole one came before it."""
    try:
        made.rename(folder)
    except OSError:
        if whole(folder):
            return
        damaged = _temporary(folder.parent, folder.name)
        folder.rename(damaged / folder.name)
        made.rename(folder)
        shutil.rmtree(damaged)


def _temporary(root: Path, name: str) -> Path:
    """Return a new folder on the same file system, for only there is a rename at once."""
    return Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))


def sha256_of(file: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
