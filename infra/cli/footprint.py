"""What running everything takes of this machine: memory and disk, measured where it runs."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


class Footprint(NamedTuple):
    """Sizes in bytes."""

    memory: int
    state: int
    environment: int

    def __str__(self) -> str:
        return (
            f"{self.memory / 1e6:.0f} MB of memory (all processes), {self.state / 1e6:.0f} MB of state "
            f"and {self.environment / 1e6:.0f} MB of environment on disk"
        )


def measure(state_folder: Path) -> Footprint:
    """Return what we, our children, our state and our environment take. Walks many files: a second or so."""
    return Footprint(memory=sum(_resident()), state=_size(state_folder), environment=_size(Path(sys.prefix)))


def _resident() -> Iterator[int]:
    """Yield each process's resident memory; pages that several share count for each."""
    ourselves = psutil.Process()
    for process in [ourselves, *ourselves.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            yield process.memory_info().rss


def _size(folder: Path) -> int:
    """Return what the files of a folder occupy on disk, each once however many names it has."""
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # removed meanwhile, or not ours to look at
                status = os.lstat(f"{place}/{name}")
                seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())
