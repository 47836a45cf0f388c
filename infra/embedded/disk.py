"""Room on the disk, asked for before a server fails in the middle of a write."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from infra.embedded.errors import DiskFullError

if TYPE_CHECKING:
    from pathlib import Path

MIN_FREE_BYTES = 500_000_000
_MEGABYTE = 1_000_000


def check_disk(folder: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
    """Make sure that there is room to work in a folder.

    Raises:
        DiskFullError: There is not.
    """
    free = shutil.disk_usage(folder).free
    if free < min_free_bytes:
        raise DiskFullError(
            f"Only {free // _MEGABYTE} MB are free for {folder} and {min_free_bytes // _MEGABYTE} MB are needed: "
            "free some, or set INTENTSTREAM_STATE_FOLDER to a folder on another disk."
        )
