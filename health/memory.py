"""How much memory this process may use, which is less than the machine has where it runs in a container."""

from __future__ import annotations

from pathlib import Path

import psutil


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Return the least limit of the process's control groups (cgroups, version 2 or 1), else the machine's memory.

    Args:
        root: Holds `proc` and `sys`.
    """
    limits = [_limit(file) for file in _files(root)]
    return min([limit for limit in limits if limit is not None] + [psutil.virtual_memory().total])


def _files(root: Path) -> list[Path]:
    """Return where limits may stand: of our group, and of each above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        mounted = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        if controllers and "memory" not in controllers.split(","):
            continue
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        group = Path(path.lstrip("/"))
        files += [mounted / each / name for each in (group, *group.parents)]
    return files


def _limit(file: Path) -> int | None:
    """Return a limit; None where there is none, be it that this group cannot be seen from here."""
    try:
        said = file.read_text().strip()
    except OSError:
        return None
    return int(said) if said.isdigit() else None
