"""What workers hold while they run: memory, descriptors and threads, looked at every second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

from infra.background import Background

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.chaos.worker import MortalWorker

_EVERY_SECONDS = 1.0


class Vital(NamedTuple):
    """One look at one process.

    Attributes:
        at: When, in Unix seconds.
        pid: Of which; a worker that was started again is another.
        memory_mb: Resident, in 10^6 bytes.
        descriptors: Files and sockets that are open.
        threads: Of the operating system.
    """

    at: float
    pid: int
    memory_mb: float
    descriptors: int
    threads: int


class Vitals(Background):
    """Looks at workers every second. Use as a context manager.

    Args:
        workers: At whom.

    Attributes:
        seen: Everything, in the order of time.
    """

    def __init__(self, workers: Sequence[MortalWorker]) -> None:
        super().__init__("chaos-vitals")
        self.seen: list[Vital] = []
        self._workers = workers

    def run(self) -> None:
        """Look, and note; who is not there is passed by."""
        while not self.ending.wait(_EVERY_SECONDS):
            for worker in self._workers:
                try:
                    self.seen.append(_look(worker.pid))
                except psutil.Error:
                    continue


def _look(pid: int) -> Vital:
    process = psutil.Process(pid)
    with process.oneshot():
        memory = process.memory_info().rss / 1e6
        return Vital(time.time(), pid, memory, process.num_fds(), process.num_threads())
