"""A child process that ends when we do, in a process group of its own so that the terminal's Ctrl-C reaches only us.

The session stays ours. Linux shares the processor between sessions before it asks which thread is in a hurry: where two
workers used both cores up, a thread of the one that woke up on the other's core waited there for up to a tenth of a
second. Within one session the niceness of threads decides, of all processes together (`models.threads.step_back`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infra.embedded.errors import StartCancelledError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

TETHER = Path(__file__).with_name("tether.py")
STOP_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start a program.

    Attributes:
        command: The program's absolute path and its arguments.
        user: Numeric user and group to run as; None: ours.
        environment: Variables beside our own.
        stop_signal: What asks it to end in order.
    """

    command: Sequence[str]
    user: tuple[int, int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM


class Child:
    """One running program. `pid` is its own."""

    def __init__(self, launch: Launch, *, folder: Path, log_file: Path) -> None:
        self._stop_signal = launch.stop_signal
        reader, self._lifeline = os.pipe()
        user = ":".join(map(str, launch.user)) if launch.user else ""
        tether = [sys.executable, "-I", "-S", str(TETHER), str(int(launch.stop_signal)), str(STOP_SECONDS), user]
        try:
            with log_file.open("ab") as log:
                self._process = subprocess.Popen(
                    [*tether, *launch.command],
                    stdin=reader,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env={**os.environ, **launch.environment},
                    process_group=0,
                )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(reader)

    @property
    def pid(self) -> int:
        """The program's process id, which is also its group's."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs; -n for signal n."""
        return self._process.poll()

    def wait(self, seconds: float, cancelled: threading.Event) -> int | None:
        """Wait until it ends, for so long at most.

        Raises:
            StartCancelledError: `cancelled` was set first.
        """
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            if cancelled.is_set():
                raise StartCancelledError("Stopped while it was starting.") from None
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program and to all it started."""
        if self.exit_code is None:
            os.killpg(self.pid, number)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end; kill it when it has not ended in time."""
        if self.exit_code is None:
            os.kill(self.pid, self._stop_signal)
            os.kill(self.pid, signal.SIGCONT)
            try:
                self._process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._release()

    def kill(self) -> None:
        """End it and all it started at once, with SIGKILL."""
        self.signal(signal.SIGKILL)
        self._process.wait()
        self._release()

    def _release(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
