"""A thread for calls that may never return: it takes one call after another, and does not keep the process from ending.

`concurrent.futures.ThreadPoolExecutor` joins its threads when the interpreter exits. Training takes its time, and
librdkafka has calls that outlast their timeouts while the broker is away; a worker must be able to stop all the same.

On Linux, what runs here comes after the event loop and the followers of flags: the work of batches is never in a hurry,
a flag change, a probe and an HTTP request are.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


_NICENESS = 10


class DaemonThread(Executor):
    """An executor of one daemon thread. Threads that are started on it are as patient as it.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Call `fn` after everything submitted before."""
        call: Future[R] = Future()

        def make() -> None:
            if not call.set_running_or_notify_cancel():
                return
            try:
                call.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the future carries it to the caller; the thread must live
                call.set_exception(error)

        self._calls.put(make)
        return call

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Executor's
        """End the thread after everything submitted before; never waits for it."""
        self._calls.put(None)

    def _run(self) -> None:
        step_back()
        while (call := self._calls.get()) is not None:
            call()
            del call  # or it would keep alive, until the next call, what was called


def step_back() -> None:
    """Let the other threads go first. Elsewhere than on Linux niceness is a process's, not a thread's."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
