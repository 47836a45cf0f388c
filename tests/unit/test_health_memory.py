"""How much memory a process may use, wherever it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest

from health.memory import memory_limit_bytes

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = psutil.virtual_memory().total
SMALL, SMALLER = 300 * 2**20, 200 * 2**20


def machine(root: Path, cgroup: str, limits: dict[str, str]) -> Path:
    """Make a machine, with limits by their path below the mounted groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for path, limit in limits.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    return root


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": str(SMALL)}, SMALL),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": str(SMALL)}, SMALL),
        ("0::/a/b\n", {"a/b/memory.max": str(SMALLER), "a/memory.max": str(SMALL)}, SMALLER),
        ("0::/a\n", {"a/memory.max": "max"}, MACHINE),
        ("0::/elsewhere\n", {}, MACHINE),
        ("0::/\n", {"memory.max": str(2**63)}, MACHINE),
        ("5:cpu:/a\n4:memory:/a\n", {"memory/a/memory.limit_in_bytes": str(SMALL)}, SMALL),
        ("4:memory:/of/the/host\n", {"memory/memory.limit_in_bytes": str(SMALL)}, SMALL),
    ],
    ids=["container", "group above", "least", "none", "not to be seen", "more than there is", "version 1", "v1 inside"],
)
def test_the_least_limit_of_the_control_groups_counts(
    tmp_path: Path, cgroup: str, limits: dict[str, str], expected: int
) -> None:
    assert memory_limit_bytes(machine(tmp_path, cgroup, limits)) == expected


def test_without_control_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path) == MACHINE
