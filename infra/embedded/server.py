"""One embedded server, whatever it runs: started until it answers, stopped, and (for tests) killed or frozen."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Protocol

from infra.embedded.complaints import last_complaint
from infra.embedded.disk import check_disk
from infra.embedded.errors import DiskFullError, ServerDiedError
from infra.embedded.log_file import LogFile
from infra.embedded.ownership import FolderLock, end_abandoned_server, forget_server, remember_server
from infra.embedded.ports import check_port
from infra.embedded.process import Child, Launch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START_SECONDS = 90.0
_POLL_SECONDS = 0.05


class Say(Protocol):
    """Tells whoever waits what a server is about to do."""

    def __call__(self, message: str, /) -> None:
        """Take one short phrase, such as "formatting its data folder"."""


class Program(Protocol):
    """What to run as a server, and how to see that it answers."""

    @property
    def name(self) -> str:
        """What people call it; also its folder's name."""

    @property
    def port_setting(self) -> str:
        """The environment variable that moves its port."""

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:
        """Do what must be done before each start, most of it only before the first; return how to start it.

        Raises:
            EmbeddedServerError: It cannot be started here.
        """

    def answers(self, port: int) -> bool:
        """Return whether it does its work, or, once it runs, make it ready to and return whether it is."""

    def endpoint(self, port: int) -> str:
        """Return what a client is given to reach it."""


class EmbeddedServer:
    """A server of ours on a port of 127.0.0.1, with all it keeps in one folder.

    May be started again after `stop` or `kill`, and then works on the data it had. While one thread is in `start`,
    another may call it off with `cancel_start`, and nothing else.
    """

    def __init__(self, program: Program, *, folder: Path, port: int) -> None:
        self.program = program
        self.folder = folder.resolve()
        self.port = port
        self.log_file = self.folder / "server.log"
        self._log = LogFile(self.log_file)
        self._child: Child | None = None
        self._lock: FolderLock | None = None
        self._cancelled = threading.Event()

    @property
    def endpoint(self) -> str:
        """What a client is given to reach it."""
        return self.program.endpoint(self.port)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid if self._child and self._child.exit_code is None else None

    def start(self, say: Say = lambda _: None) -> None:
        """Start it and return when it answers.

        Raises:
            EmbeddedServerError: It could not be started; nothing of it is left running.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = FolderLock(self.folder)
            if end_abandoned_server(self.folder):
                say("ended the one a killed process had left running")
            check_disk(self.folder)
            check_port(self.port, server=self.program.name, setting=self.program.port_setting)
            launch = self.program.prepare(self.folder, self.port, say=say, cancelled=self._cancelled)
            say("starting")
            self._log.begin()
            self._child = Child(launch, folder=self.folder, log_file=self.log_file)
            remember_server(self.folder, self._child.pid)
            self._wait_until_it_answers(self._child)
        except BaseException:
            self._end(Child.stop)  # a killed Postgres leaves children behind for a moment
            raise
        finally:
            self._cancelled.clear()

    def cancel_start(self) -> None:
        """Make a `start` that runs in another thread end soon, with StartCancelledError."""
        self._cancelled.set()

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not; does nothing where it does not run."""
        self._end(Child.stop)

    def kill(self) -> None:
        """End it as a crash would: with SIGKILL."""
        self._end(Child.kill)

    def suspend(self) -> None:
        """Freeze it: its connections stay, and nothing answers."""
        if self._child:
            self._child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        if self._child:
            self._child.signal(signal.SIGCONT)

    def _end(self, how: Callable[[Child], None]) -> None:
        child, self._child = self._child, None
        if child:
            how(child)
            forget_server(self.folder)
        lock, self._lock = self._lock, None
        if lock:
            lock.release()

    def _wait_until_it_answers(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while child.wait(_POLL_SECONDS, self._cancelled) is None:
            if self.program.answers(self.port):
                return
            if time.monotonic() > deadline:
                raise ServerDiedError(f"{self.program.name} did not answer within {START_SECONDS:.0f} s: {self._why()}")
        raise self._death()

    def _death(self) -> ServerDiedError | DiskFullError:
        why = self._why()
        if os.strerror(errno.ENOSPC) in self._log.tail():
            return DiskFullError(
                f"{self.program.name} ran out of disk space in {self.folder}: free some, then try again."
            )
        return ServerDiedError(f"{self.program.name} ended while it was starting: {why}")

    def _why(self) -> str:
        return f"its log, {self.log_file}, says: {last_complaint(self._log.tail())}"
