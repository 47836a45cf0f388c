"""A control group with a limit of memory, as a platform gives one to each of its containers."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOUNTED = Path("/sys/fs/cgroup")


class ControlGroup(NamedTuple):
    """One within our own.

    Attributes:
        folder: Where the kernel shows it.
        limit_file: Of that folder; says how much memory its processes may use.
        fault: Why there is none; None: there is.
    """

    folder: Path
    limit_file: str
    fault: str | None

    def around(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return what runs a command within it; where there is none, what runs the command."""
        if self.fault is not None:
            return tuple(command)
        return ("/bin/sh", "-c", f'echo $$ > {self.folder / "cgroup.procs"} && exec "$0" "$@"', *command)

    def limit(self, limit_bytes: int) -> None:
        """Have its processes use no more from now on. Skips the test where there is no group."""
        if self.fault is not None:
            pytest.skip(f"needs to make a control group with a limit of memory: {self.fault}")
        (self.folder / self.limit_file).write_text(str(limit_bytes))


@contextmanager
def control_group() -> Iterator[ControlGroup]:
    """Make one, or say why that is not permitted; its processes have ended when this is left."""
    parent, limit_file = _ours()
    folder = parent / f"intentstream-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        yield ControlGroup(folder, limit_file, str(error))
        return
    try:
        there = (folder / limit_file).exists()
        yield ControlGroup(folder, limit_file, None if there else f"{folder} has no {limit_file}")
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text(), "its processes have ended")
        folder.rmdir()


def _ours() -> tuple[Path, str]:
    """Return the group of memory that we are in, and how a limit is called there (cgroups, version 1 or 2)."""
    paths = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    if "memory" in paths:
        return _MOUNTED / "memory" / paths["memory"], "memory.limit_in_bytes"
    return _MOUNTED / paths[""], "memory.max"
