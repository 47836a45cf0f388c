"""What a long-running command does about Ctrl-C and SIGTERM: the first asks it to stop, the next hurries it."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any, Self

import psutil

if TYPE_CHECKING:
    from types import FrameType, TracebackType


class StopSignals:
    """Turns the first signal into KeyboardInterrupt, also where our starter ignored SIGINT, as background jobs do.

    Once we are stopping, nothing interrupts that: each further signal kills our children, for which the stopping then
    need not wait.
    """

    def __init__(self) -> None:
        self._stopping = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as under nohup
        taken = (signal.SIGINT, signal.SIGTERM, *([] if ignores_hangup else [signal.SIGHUP]))
        self._before = {number: signal.signal(number, self._arrived) for number in taken}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, action in self._before.items():
            signal.signal(number, action)

    def stopping(self) -> None:
        """Note that we are stopping, for another reason than a signal."""
        self._stopping = True

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        if not self._stopping:
            self._stopping = True
            raise KeyboardInterrupt
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it was quicker
                child.kill()
