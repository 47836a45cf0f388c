"""What the threads for slow work promise to everything else in the process."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from models.threads import DaemonThread


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is a process's elsewhere")
def test_the_work_of_batches_comes_after_what_is_in_a_hurry() -> None:
    before = niceness()
    slow = DaemonThread("slow")
    assert slow.submit(niceness).result(5) == max(10, before)
    assert niceness() == before
    slow.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is a process's elsewhere")
def test_threads_started_there_are_as_patient() -> None:
    told: list[int] = []

    def start_another() -> None:
        another = threading.Thread(target=lambda: told.append(niceness()))
        another.start()
        another.join()

    slow = DaemonThread("slow")
    slow.submit(start_another).result(5)
    assert told == [max(10, niceness())]
    slow.shutdown()
