"""A small disk for one folder, to be filled."""

from __future__ import annotations

import errno
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK_BYTES = 1024 * 1024


class SmallDisk(NamedTuple):
    """One that is mounted.

    Attributes:
        folder: Where.
    """

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on it for a while."""
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                while file.write(bytes(_CHUNK_BYTES)):
                    pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        try:
            yield
        finally:
            ballast.unlink()


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Have a folder on a disk of so many megabytes, with all that is in it.

    Skips the test where it is not permitted to mount one.
    """
    before = folder.with_name(f"{folder.name}.before")
    folder.rename(before)
    folder.mkdir()
    options = ("-o", f"size={megabytes}m,mode={before.stat().st_mode & 0o777:o}")
    mounted = _run("mount", "-t", "tmpfs", *options, "intentstream-test", str(folder))
    if mounted.returncode != 0:
        pytest.skip(f"needs to mount a small disk: {mounted.stderr.strip()}")
    try:
        _run("cp", "-a", f"{before}/.", str(folder)).check_returncode()
        yield SmallDisk(folder)
    finally:
        _run("umount", "--lazy", str(folder)).check_returncode()


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/usr/bin/env", *command], capture_output=True, text=True, check=False)
