"""The loop of `intentstream up` once all runs: plays, reads, counts, keeps the processes alive, tells what is new."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.cli.footprint import Footprint, measure

if TYPE_CHECKING:
    from pathlib import Path

    from infra.cli.samples import SamplePlayer
    from infra.cli.screen import Screen
    from infra.cli.watch import Watch
    from infra.cli.worker_process import WorkerProcess
    from infra.embedded.servers import EmbeddedServers
    from schemas.events import Result

_SHOWN_SAMPLES = 12
_TICK_SECONDS = 0.05


class Live:
    """One turn of the loop is `tick`; it takes about a twentieth of a second."""

    def __init__(
        self,
        screen: Screen,
        watch: Watch,
        player: SamplePlayer,
        worker: WorkerProcess,
        servers: EmbeddedServers,
        *,
        state_folder: Path,
        started: float,
    ) -> None:
        """Take what runs.

        Args:
            screen: Where to tell.
            watch: What is answered.
            player: What to play.
            worker: What to keep alive.
            servers: Likewise.
            state_folder: What to measure on disk.
            started: When the command was started, Unix time in seconds.
        """
        self._screen = screen
        self._watch = watch
        self._player = player
        self._worker = worker
        self._servers = servers
        self._state_folder = state_folder
        self._started = started
        self._shown = 0
        self._measuring: Future[Footprint] | None = None
        self._is_first = True
        self._said_over = False

    def tick(self) -> None:
        """Do what is due."""
        self._player.play()
        for result in self._watch.read(_TICK_SECONDS):
            self._show(result)
        self._screen.count(self._watch.counts())
        self._worker.keep()
        self._restart_servers()
        self._tell_footprint()
        self._tell_when_over()

    def _show(self, result: Result) -> None:
        if self._is_first:
            self._is_first = False
            self._screen.say(f"The first result came {time.time() - self._started:.1f} s after the start.")
            pool = ThreadPoolExecutor(max_workers=1)  # it walks many files, while results go on being read
            self._measuring = pool.submit(measure, self._state_folder)
            pool.shutdown(wait=False)
        text = self._player.texts.get(result.utterance_id)
        if text is not None and self._shown < _SHOWN_SAMPLES:
            self._shown += 1
            intent = result.intent or "(out of scope)"
            self._screen.say(f"  “{text}” → {intent} ({result.confidence:.2f}, {result.tier})")

    def _restart_servers(self) -> None:
        for server in self._servers.servers:
            if server.pid is None:
                self._screen.say(f"{server.program.name} ended unexpectedly and is started again.")
                server.stop()
                server.start()

    def _tell_footprint(self) -> None:
        if self._measuring and self._measuring.done():
            self._screen.say(f"Running takes {self._measuring.result()}.")
            self._measuring = None

    def _tell_when_over(self) -> None:
        counts = self._watch.counts()
        answered = counts.results + counts.dead_letters
        if self._player.is_over and not self._said_over and answered >= self._player.total:
            self._said_over = True
            if self._player.total:
                self._screen.say(f"All {self._player.total} sample utterances were played and answered.")
            self._screen.say("It is quiet now: publish something, or press Ctrl-C to stop everything.")
