"""Where releases are kept: any file system that fsspec knows, copied to by who pushes, fetched from by who serves.

What comes from there is held against digests that came another way, and is in place whole or not at all.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec

from models.artefacts import sha256_of
from models.release import MANIFEST_FILE, DamagedReleaseError, Manifest, read_manifest, read_release, release_name
from schemas.errors import IntentStreamError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_CHUNK_BYTES = 1 << 20
_MOST_MANIFEST_BYTES = 1 << 20
_FETCHING = ".fetching-"
_LEFT_OVER_SECONDS = 86_400.0


class InvalidLocationError(IntentStreamError):
    """No place that a release can be kept at; the message says why."""

    code = "invalid_location"
    http_status = 422
    exit_code = 64


class StoreUnavailableError(UnavailableError):
    """A store that does not answer, or does not have the release; trying again later may help."""

    code = "store_unavailable"


class MissingFileError(DamagedReleaseError):
    """A release that was made without a file which others of its kind have."""


def push_release(folder: Path, store: str) -> tuple[str, str, Manifest]:
    """Copy a release to a store; the manifest comes last, so that what has one is whole.

    Args:
        folder: Of the release.
        store: URL of the folder that holds all releases.

    Returns:
        The URL of the copy, the SHA-256 of the manifest, and the manifest.

    Raises:
        DamagedReleaseError: The folder is no whole release.
        InvalidLocationError: The store's URL cannot be used.
        StoreUnavailableError: It does not take the files.
    """
    manifest = read_release(folder)
    digest = sha256_of(folder / MANIFEST_FILE)
    system, root = _open(store)
    path = f"{root.rstrip('/')}/{manifest.model}/{release_name(digest)}"
    with _failing_as(f"{store} does not take the release"):
        system.makedirs(path, exist_ok=True)
        for name in (*manifest.files, MANIFEST_FILE):
            system.put_file(str(folder / name), f"{path}/{name}")
        return system.unstrip_protocol(path), digest, manifest


def fetch_release(location: str, sha256: str, root: Path, *, max_bytes: int) -> Path:
    """Return a folder with the release, copied from its store unless it is here already.

    Args:
        location: URL of the release.
        sha256: Of its manifest.
        root: Holds what was fetched, each in a folder named by that digest.
        max_bytes: What all files together may have.

    Raises:
        DamagedReleaseError: What is there is not what the digests say, or too large: fetching again will not help.
        InvalidLocationError: The URL cannot be used.
        StoreUnavailableError: It cannot be read, or its files cannot be written here.
    """
    folder = root / sha256
    if _is_here(folder, sha256):
        return folder
    system, path = _open(location)
    root.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=_FETCHING, dir=root))
    try:
        content = _fetch_manifest(system, path, location, sha256)
        room = max_bytes
        for name, digest in read_manifest(content, location).files.items():
            chunks = _chunks(system, f"{path}/{name}", location)
            with _failing_as("It cannot be kept on this machine"):
                room -= _copy(chunks, making / name, digest, room)
        (making / MANIFEST_FILE).write_bytes(content)
        shutil.rmtree(folder, ignore_errors=True)  # one that was damaged
        making.chmod(0o755)  # a temporary folder is its maker's alone
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def fetch_file(location: str, sha256: str, name: str, *, most_bytes: int = _MOST_MANIFEST_BYTES) -> bytes:
    """Return one small file of a release, held against the manifest, and that against its digest.

    Args:
        location: URL of the release.
        sha256: Of its manifest.
        name: Of the file.
        most_bytes: Of a larger one only the beginning is read, which is not what its digest says.

    Raises:
        MissingFileError: The release has none of that name.
        DamagedReleaseError: It is not what the digests say.
        InvalidLocationError: The URL cannot be used.
        StoreUnavailableError: It cannot be read.
    """
    system, path = _open(location)
    manifest = read_manifest(_fetch_manifest(system, path, location, sha256), location)
    if name not in manifest.files:
        raise MissingFileError(f"the release at {location} has no {name}")
    with _failing_as(f"{location} cannot be read"), system.open(f"{path}/{name}", "rb") as source:
        content: bytes = source.read(most_bytes)
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise DamagedReleaseError(f"the release at {location} is damaged: {name}")
    return content


def reach_store(store: str) -> None:
    """Return if a store answers; it need not hold anything yet. Blocks, for as long as its file system does.

    Raises:
        InvalidLocationError: The URL cannot be used.
        StoreUnavailableError: It does not answer.
    """
    system, root = _open(store)
    with _failing_as("It cannot be looked at"):
        system.exists(root)


def prune(root: Path, is_kept: Callable[[str], bool]) -> None:
    """Remove what was fetched and is not kept, by the digests of their manifests.

    What is being fetched stays, for another worker of this machine may be at it; what a killed one began, goes in time.
    """
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.name.startswith(_FETCHING):
            left_over = time.time() - folder.stat().st_mtime > _LEFT_OVER_SECONDS
        else:
            left_over = not is_kept(folder.name)
        if left_over:
            shutil.rmtree(folder, ignore_errors=True)


def _is_here(folder: Path, sha256: str) -> bool:
    try:
        read_release(folder)
        return sha256_of(folder / MANIFEST_FILE) == sha256
    except (DamagedReleaseError, OSError):
        return False


def _open(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path there."""
    if "::" in url:
        raise InvalidLocationError(f"{url} chains file systems, and only one may be named.")
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InvalidLocationError(f"{url} needs a package that is not installed: {error}") from error
    except ValueError as error:
        raise InvalidLocationError(f"{url} cannot be used: {error}") from error
    return system, path


def _fetch_manifest(system: Any, path: str, location: str, sha256: str) -> bytes:
    """Return the manifest as it stands there, if it is the one that was announced."""
    with _failing_as(f"{location} cannot be read"), system.open(f"{path}/{MANIFEST_FILE}", "rb") as source:
        content: bytes = source.read(_MOST_MANIFEST_BYTES)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedReleaseError(f"the manifest at {location} is not the one that was announced")
    return content


def _chunks(system: Any, path: str, location: str) -> Iterator[bytes]:
    """Yield what a file of a store has, piece by piece."""
    with _failing_as(f"{location} cannot be read"), system.open(path, "rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk


def _copy(chunks: Iterable[bytes], target: Path, digest: str, room: int) -> int:
    """Copy a file and return its size, or raise once it is too large or turned out to be another."""
    hashed, size = hashlib.sha256(), 0
    with target.open("xb") as copy:
        for chunk in chunks:
            size += len(chunk)
            if size > room:
                raise DamagedReleaseError(f"the release is larger than the settings allow, at {target.name}")
            hashed.update(chunk)
            copy.write(chunk)
    if hashed.hexdigest() != digest:
        raise DamagedReleaseError(f"the release is damaged: {target.name}")
    return size


@contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Have what a store raises be ours."""
    try:
        yield
    except IntentStreamError:
        raise
    except Exception as error:  # stores have errors of their own kinds
        raise StoreUnavailableError(f"{what}: {type(error).__name__}: {error}") from error
