"""Who takes part in a pipeline's benchmark: a worker of ours, or a peer's program, as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import psutil

from infra.bench.peers import peer_command
from infra.chaos.worker import MortalWorker
from schemas.errors import UnavailableError
from streams.topics import RESULTS, UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.settings import Settings

_WARM_SECONDS = 300.0
"""The first time, models are trained and peers' environments made."""

_POLL_SECONDS = 0.1
_STARTUP = "/health/startup"
_READY = "ready"


class Side(NamedTuple):
    """One who takes part.

    Attributes:
        name: What it is called in the report.
        flags: Of ours: which of them the environment turns on.
        settings: Of ours: those that it has of its own, as the environment names them.
        peer: Of a peer: its project, its script, and what more the script is told.
    """

    name: str
    flags: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    peer: tuple[str, ...] = ()

    @property
    def project(self) -> str:
        """Whose environment it needs; nobody's: it is ours."""
        return self.peer[0] if self.peer else ""

    @property
    def sink(self) -> str:
        """Where it writes."""
        return f"bench.pipeline.{self.name}" if self.peer else RESULTS

    @property
    def group(self) -> str:
        """Whose offsets are its own."""
        return f"bench-pipeline-{self.name}"


class Usage(NamedTuple):
    """What a side's processes have used: seconds of processors, and the most memory that was resident, in MB."""

    cpu_seconds: float
    peak_memory_mb: float


@contextmanager
def running(side: Side, settings: Settings, folder: Path) -> Iterator[psutil.Process]:
    """Run a side, from when it is warm: all of its models loaded.

    Args:
        side: Which.
        settings: Where broker, models and catalogue are.
        folder: For what it says.

    Raises:
        UnavailableError: It does not become warm.
    """
    with _peer(side, settings, folder) if side.peer else _ours(side, settings, folder) as pid:
        yield psutil.Process(pid)


def usage(process: psutil.Process) -> Usage:
    """Return what a process and its children have used so far."""
    cpu_seconds, peak = 0.0, 0.0
    for each in [process, *process.children(recursive=True)]:
        times = each.cpu_times()
        cpu_seconds += times.user + times.system
        peak += _peak_memory_mb(each.pid)
    return Usage(cpu_seconds, peak)


@contextmanager
def _ours(side: Side, settings: Settings, folder: Path) -> Iterator[int]:
    flags = {f"FEATURE_FLAG_{flag.upper()}_ENABLED": "true" for flag in side.flags}
    worker = MortalWorker(
        settings.kafka_servers,
        state_folder=settings.state_folder.resolve(),
        log_file=folder / f"{side.name}.log",
        worker_id=side.name,
        WORKER__GROUP_ID=side.group,
        SINK__ENABLED="false",
        CACHE__LOCAL_ENTRIES=0,
        # It would ask the rules alone once texts have waited for some seconds, and here they wait on purpose.
        INTAKE__BROWN_OUT_AFTER_SECONDS=0,
        TOPICS__PARTITIONS=settings.topics.partitions,
        **dict(side.settings),
        **({"MODELS__CATALOGUE": settings.models.catalogue.resolve()} if settings.models.catalogue else {}),
    )
    with _environment(flags | {"FEATURE_FLAG_CACHING_ENABLED": "false"}), worker:
        deadline = time.monotonic() + _WARM_SECONDS
        while not _is_warm(worker):
            if worker.exit_code is not None or time.monotonic() > deadline:
                raise UnavailableError(f"{side.name} does not become warm: {worker.log[-500:]}")
            time.sleep(_POLL_SECONDS)
        yield worker.pid


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """Have what is started within it know these variables, too."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _is_warm(worker: MortalWorker) -> bool:
    if worker.status(_STARTUP) != HTTPStatus.OK:
        return False
    said = worker.get(_STARTUP)
    return bool(said) and msgspec.json.decode(said)["status"] == "pass"


@contextmanager
def _peer(side: Side, settings: Settings, folder: Path) -> Iterator[int]:
    project, script, *more = side.peer
    command = peer_command(project, script, settings.kafka_servers, UTTERANCES, side.sink, side.group, *more)
    environment = os.environ | {"INTENTSTREAM_STATE_FOLDER": str(settings.state_folder.resolve())}
    if settings.models.catalogue:
        environment["INTENTSTREAM_MODELS__CATALOGUE"] = str(settings.models.catalogue.resolve())
    errors = folder / f"{side.name}.log"
    with errors.open("wb") as said:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment, process_group=0, cwd=folder
        )
    try:
        said_ready = any(line.strip() == _READY for line in process.stdout or ())
        if not said_ready:
            raise UnavailableError(f"{side.name} does not become warm: {errors.read_text(errors='replace')[-500:]}")
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


def _peak_memory_mb(pid: int) -> float:
    """Return the most memory that a process ever had resident; 0 where the kernel does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return 0.0
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return float(kilobytes[0]) / 1024 if kilobytes else 0.0
