"""Prepares the models in a process of its own, beside the servers' start.

So its memory is given back, and it can be killed when everything is to stop.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Self

import msgspec

from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_UNAVAILABLE = 69


class PreparationError(IntentStreamError):
    """The models could not be prepared; the message says why."""

    code = "preparation_failed"


class Preparing:
    """`intentstream prepare`, under way. Use as a context manager; leaving kills it if it still runs."""

    def __init__(self, on_progress: Callable[[str, float | None], None]) -> None:
        """Take whom to tell what comes next, and the share done; called from another thread."""
        self._on_progress = on_progress
        self._errors: list[str] = []

    def __enter__(self) -> Self:
        # No tether: orphaned, it ends of itself within seconds, and what it made stays good.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli.main", "prepare", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._follow, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._collect, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()

    def wait(self) -> None:
        """Return when all is prepared, or all that can be: a tier without weights is left to the next tier.

        Raises:
            PreparationError: It failed.
        """
        exit_code = self._process.wait()
        for reader in self._readers:
            reader.join()
        said = "\n".join(self._errors)
        if exit_code == _UNAVAILABLE:
            self._on_progress(said, 1.0)
        elif exit_code:
            raise PreparationError(f"The models could not be prepared: {said or f'exit code {exit_code}'}")

    def _follow(self, lines: IO[bytes]) -> None:
        for line in lines:
            step = msgspec.json.decode(line)
            if "message" in step:
                self._on_progress(step["message"], step["share"])

    def _collect(self, lines: IO[bytes]) -> None:
        self._errors += [line.decode(errors="replace").rstrip() for line in lines]
