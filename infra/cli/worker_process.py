"""The worker that `intentstream up` keeps running: a child that ends when we do, started again when it dies."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

from infra.embedded.log_file import LogFile
from infra.embedded.process import Child, Launch
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from schemas.settings import Settings

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_SECONDS = 60.0
"""A worker that ran so long was well; its next death starts the pauses anew."""

_STOP_SECONDS = 20.0
_PROBE_SECONDS = 1.0


class WorkerDiedError(UnavailableError):
    """The worker ended before it had become ready; the message is its last word."""


class WorkerProcess:
    """One worker. Use as a context manager; entering starts it, leaving lets it finish its batch and stops it."""

    def __init__(self, settings: Settings, *, log_file: Path, say: Callable[[str], None]) -> None:
        """Take what to run.

        Args:
            settings: What it shall work with, endpoints of embedded servers included.
            log_file: Where its log goes.
            say: Is told when it died and when it is started again.
        """
        self.log_file = log_file
        self._log = LogFile(log_file)
        self._say = say
        self._probe = f"http://127.0.0.1:{settings.web.port}/health/ready"
        self._environment = {
            "INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka_servers,
            "INTENTSTREAM_REDIS__URL": settings.redis_url,
            "INTENTSTREAM_POSTGRES__DSN": settings.postgres_dsn,
            "INTENTSTREAM_WEB__PORT": str(settings.web.port),
        }
        self._child: Child | None = None
        self._started_at = 0.0
        self._start_again_at: float | None = None
        self._deaths = 0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            self._child.stop(_STOP_SECONDS)

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._child.exit_code if self._child else None

    def wait_until_ready(self, tick: Callable[[str], None]) -> None:
        """Return when it says that it answers.

        Args:
            tick: Called about ten times a second with what it says about itself.

        Raises:
            WorkerDiedError: It ended.
        """
        while True:
            if self.exit_code is not None:
                raise WorkerDiedError(f"The worker ended while it was starting: {self._last_word()}")
            ready, said = self._ask()
            if ready:
                return
            tick(said)
            time.sleep(0.1)

    def keep(self) -> None:
        """Start it again if it died and its pause is over; call this often."""
        now = time.monotonic()
        if self._start_again_at is not None:
            if now >= self._start_again_at:
                self._start()
                self._say("The worker was started again.")
            return
        if self.exit_code is None:
            return
        self._deaths = 0 if now - self._started_at > _STEADY_SECONDS else self._deaths
        pause = _PAUSES_SECONDS[min(self._deaths, len(_PAUSES_SECONDS) - 1)]
        self._deaths += 1
        self._start_again_at = now + pause
        self._say(
            f"The worker died ({_ending(self.exit_code)}) and is started again in {pause:g} s: {self._last_word()}"
        )

    def _start(self) -> None:
        if self._child:
            self._child.kill()
        self._start_again_at = None
        self._started_at = time.monotonic()
        self._log.begin()
        launch = Launch(command=[sys.executable, "-m", "infra.cli.main", "worker"], environment=self._environment)
        # In our own folder: relative paths in the settings mean the same for it as for us.
        self._child = Child(launch, folder=Path.cwd(), log_file=self.log_file)

    def _ask(self) -> tuple[bool, str]:
        try:
            with urllib.request.urlopen(self._probe, timeout=_PROBE_SECONDS) as answer:  # noqa: S310 - ours, http
                return answer.status == 200, "ready"  # noqa: PLR2004 - HTTP's OK
        except urllib.error.HTTPError as refusal:
            with refusal:
                return False, "not ready yet" if refusal.code == 503 else f"answers {refusal.code}"  # noqa: PLR2004
        except OSError:
            return False, "starting"

    def _last_word(self) -> str:
        lines = self._log.tail().strip().splitlines()
        return f"{lines[-1][:300] if lines else 'it left no word'} (log: {self.log_file})"


def _ending(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
