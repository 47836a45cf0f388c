"""Which process runs which tests, where there are several: the drills one after another in one, the others by file.

A drill takes the whole machine, and much of the time waits: the other tests run beside it with what it leaves, at a
niceness at which they hardly disturb it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest

DRILLS = "tests/drills/"
MEASURED = "measured"
"""The property of a test's report that holds a line of what it measured, whichever process it ran in."""

_NICENESS = 10


class DrillsApart(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Gives one process the drills and all of them the files of other tests, a file to one."""

    def _split_scope(self, nodeid: str) -> str:
        return DRILLS if nodeid.startswith(DRILLS) else nodeid.partition("::")[0]


def step_back(item: pytest.Item) -> None:
    """Have this process and all that it starts leave the processors to the drills, unless it runs one."""
    if hasattr(item.config, "workerinput") and not item.nodeid.startswith(DRILLS):
        os.nice(max(0, _NICENESS - os.nice(0)))
