"""Lets the servers on this machine go before the workers that wait for them.

Linux shares the processor between sessions, and each process of ours has one: a worker that computes all the time gets
as much as the broker that it, and every flag change, waits for. Measured on two cores under full load, stepping back
brings the slowest hundredth of flag changes from 194 to 105 ms. In containers the kernel has no such groups; there it
is the requests and limits of processors that decide.
"""

from __future__ import annotations

from pathlib import Path

NICENESS = 10


def step_back(pid: int) -> bool:
    """Let a process's session go after others; return whether the kernel has such groups and did.

    Args:
        pid: Of one of the session's processes.
    """
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS))
    except OSError:
        return False
    return True
