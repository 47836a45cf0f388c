"""Whose a server's folder is: one process of ours at a time, and what a killed one left running is ended first."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING

import psutil

from infra.embedded.errors import FolderInUseError

if TYPE_CHECKING:
    from pathlib import Path

_CLOCK_STEP_SECONDS = 2.0  # a start time is counted from the boot time, which moves when the clock is set
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05


class FolderLock:
    """Held while a server runs on a folder. The kernel lets go of it when we die, however we die."""

    def __init__(self, folder: Path) -> None:
        """Take the folder.

        Raises:
            FolderInUseError: Another process has it.
        """
        path = folder / "lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = path.read_text() or "unknown"
            os.close(self._descriptor)
            raise FolderInUseError(
                f"{folder} is in use by process {owner}: end that one, "
                "or give this one a folder of its own with INTENTSTREAM_STATE_FOLDER."
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let others have the folder."""
        os.close(self._descriptor)


def remember_server(folder: Path, pid: int) -> None:
    """Note which process serves a folder, so that the next start finds it should we die without stopping it."""
    with contextlib.suppress(psutil.NoSuchProcess):  # whoever waits for it will say that it died
        record = {"pid": pid, "started": psutil.Process(pid).create_time()}
        (folder / "server.json").write_text(json.dumps(record))


def forget_server(folder: Path) -> None:
    """Note that nothing serves a folder."""
    (folder / "server.json").unlink(missing_ok=True)


def end_abandoned_server(folder: Path) -> bool:
    """End what an earlier process of ours left running on a folder that we hold the lock of; return whether it had.

    A process counts as ours only if both its pid and its start time are those noted: a pid alone may be someone else's.
    """
    server = _noted_server(folder)
    with contextlib.suppress(psutil.NoSuchProcess):  # then it has ended, as it should
        if server:
            server.terminate()
            deadline = time.monotonic() + _STOP_SECONDS
            while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
                if time.monotonic() > deadline:
                    server.kill()
                time.sleep(_POLL_SECONDS)
    forget_server(folder)
    return server is not None


def _noted_server(folder: Path) -> psutil.Process | None:
    try:
        record = json.loads((folder / "server.json").read_text())
        server = psutil.Process(int(record["pid"]))
        same = abs(server.create_time() - float(record["started"])) < _CLOCK_STEP_SECONDS
        ended = server.status() == psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
        return None
    return server if same and not ended else None
