"""The processes among which flag changes are timed: workers that classify as fast as they can, and others that follow.

Each says in its log when it applied which revision; the log's times are compared, which all processes of a machine take
from one clock, and so it does not matter when the lines are read.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from infra.embedded.ports import free_port
from infra.embedded.process import TETHER
from models.catalogue import default_catalogue_path, load_catalogue
from models.preparation import prepare
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from schemas.settings import Settings

_READY_SECONDS = 120.0
_POLL_SECONDS = 0.2
_STOP_SECONDS = 15.0


class _Line(msgspec.Struct):
    """A line of a log."""

    event: str = ""
    revision: int = 0
    timestamp: str = ""


class Process:
    """One that follows the flags; entering starts it, leaving ends it. It ends with us, however we end.

    Args:
        name: For people.
        command: What to run.
        environment: Beside our own.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._applied: tuple[int, float] = (-1, 0.0)
        self._came = threading.Condition()
        self._last_line = ""
        self._ended = False

    @property
    def last_word(self) -> str:
        """Return the last line of its log, and whether there will be no more."""
        return f"{self._last_line[:500]}{' (it has ended)' if self._ended else ''}"

    @contextmanager
    def running(self) -> Iterator[Process]:
        """Run it."""
        tether = [sys.executable, "-I", "-S", str(TETHER), str(int(signal.SIGTERM)), str(_STOP_SECONDS), ""]
        with subprocess.Popen(
            [*tether, *self._command],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | self._environment,
            process_group=0,
        ) as process:
            threading.Thread(target=self._read, args=[process.stderr], daemon=True).start()
            try:
                yield self
            finally:
                process.kill()

    def applied_at(self, revision: int, seconds: float) -> float:
        """Return when it applied a revision, as Unix time.

        Raises:
            UnavailableError: It did not in so many seconds.
        """
        with self._came:
            self._came.wait_for(lambda: self._applied[0] >= revision or self._ended, seconds)
            if self._applied[0] < revision:
                raise UnavailableError(f"{self.name} has not applied revision {revision}; it said: {self.last_word}")
            return self._applied[1]

    def _read(self, log: Iterator[bytes]) -> None:
        decode = msgspec.json.Decoder(_Line).decode
        for text in log:
            self._last_line = text.decode(errors="replace").strip()
            try:
                line = decode(text)
            except msgspec.DecodeError:
                continue  # librdkafka's own, before it has our logger
            if line.event == "flags_applied":
                at = dt.datetime.fromisoformat(line.timestamp).timestamp()
                with self._came:
                    self._applied = line.revision, at
                    self._came.notify_all()
        with self._came:
            self._ended = True
            self._came.notify_all()


class WorkerProcess(Process):
    """One worker that classifies.

    Args:
        settings: Where the broker is.
        folder: Where it keeps its state; the prepared models stand there.
        number: Which of the workers.
    """

    def __init__(self, settings: Settings, folder: Path, number: int) -> None:
        self.port = free_port()
        nobody = free_port()
        environment = {
            "KAFKA__BOOTSTRAP_SERVERS": settings.kafka_servers,
            "STATE_FOLDER": str(folder),
            "WORKER__ID": f"bench-{number}",
            "WEB__PORT": str(self.port),
            "LOGS__FORMAT": "json",
            "LOGS__LEVEL": "INFO",
            "REDIS__URL": f"redis://127.0.0.1:{nobody}/0",
            "POSTGRES__DSN": f"postgresql://127.0.0.1:{nobody}/nobody",
        }
        command = [sys.executable, "-m", "infra.cli.main", "worker"]
        prefixed = {f"INTENTSTREAM_{name}": value for name, value in environment.items()}
        super().__init__(f"worker {number}", command, prefixed)

    def wait_until_ready(self) -> None:
        """Wait until it classifies with every tier it has.

        Raises:
            UnavailableError: That takes too long.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if self._ended or time.monotonic() > deadline:
                raise UnavailableError(f"{self.name} does not get ready; it said: {self.last_word}")
            time.sleep(_POLL_SECONDS)

    def classified(self) -> float:
        """Return how many results it has committed."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return sum(each.value for family in families for each in family.samples if each.name == _RESULTS)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
        except OSError:
            return False


_RESULTS = "intentstream_events_out_total"


def _follower(settings: Settings, folder: Path, number: int) -> Process:
    """Return a process that follows the flags and does nothing else, as those of other roles do most of the time."""
    environment = {"INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka_servers}
    file = folder / f"follower-{number}" / "flags.json"
    return Process(f"follower {number}", [sys.executable, "-m", "infra.bench.flag_follower", str(file)], environment)


@contextmanager
def flag_fleet(
    settings: Settings, folder: Path, *, workers: int, followers: int
) -> Iterator[tuple[list[WorkerProcess], list[Process]]]:
    """Run workers and other followers; yield both, once all workers are ready.

    Raises:
        UnavailableError: A worker is not ready in time, or the models cannot be prepared.
    """
    models = settings.state_folder.resolve() / "models"
    prepare(settings, load_catalogue(settings.models.catalogue or default_catalogue_path()), lambda _step, _share: None)
    classifying = [WorkerProcess(settings, _state(folder, models, number), number) for number in range(1, workers + 1)]
    others = [_follower(settings, folder, number) for number in range(1, followers + 1)]
    with ExitStack() as stack:
        for process in [*classifying, *others]:
            stack.enter_context(process.running())
        for worker in classifying:
            worker.wait_until_ready()
        yield classifying, others


def _state(folder: Path, models: Path, number: int) -> Path:
    """Return a state folder of a worker's own, with the models that were prepared once for all."""
    state = folder / f"worker-{number}"
    state.mkdir()
    (state / "models").symlink_to(models)
    return state
