"""A real worker process that is started, asked, frozen, killed and started again."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from prometheus_client.parser import text_string_to_metric_families

from infra.asking import ask
from infra.embedded.ports import free_port
from infra.embedded.process import Child, Launch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

_END_SECONDS = 30.0
_ANSWER_SECONDS = 10.0


class MortalWorker:
    """One `intentstream worker`. Entering starts it; leaving kills whatever of it still runs.

    Args:
        broker: Its bootstrap servers.
        state_folder: Where prepared models lie.
        log_file: Where its output goes, over all its starts.
        worker_id: Who it is.
        settings: More of them, as `SECTION__NAME`.

    Attributes:
        command: What starts it.
    """

    command: Sequence[str] = (sys.executable, "-m", "infra.cli.main", "worker")

    def __init__(
        self, broker: str, *, state_folder: Path, log_file: Path, worker_id: str = "worker-1", **settings: object
    ) -> None:
        self.worker_id = worker_id
        self.port = free_port()
        self.log_file = log_file
        self._child: Child | None = None
        chosen = {
            "KAFKA__BOOTSTRAP_SERVERS": broker,
            "STATE_FOLDER": state_folder,
            "WORKER__ID": worker_id,
            "WEB__PORT": self.port,
            # Nobody listens there, unless the settings say otherwise.
            "REDIS__URL": f"redis://127.0.0.1:{free_port()}/0",
            "POSTGRES__DSN": f"postgresql://127.0.0.1:{free_port()}/nobody",
            "LOGS__FORMAT": "json",
        }
        self._settings = {f"INTENTSTREAM_{name}": str(value) for name, value in (chosen | settings).items()}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        return self._started.pid

    @property
    def exit_code(self) -> int | None:
        """What it ended with; -n for signal n; None while it runs."""
        return self._started.exit_code

    @property
    def log(self) -> str:
        """All that it ever said."""
        return self.log_file.read_text(errors="replace")

    def start(self) -> None:
        """Start it; it ends with us, however we end."""
        launch = Launch(command=self.command, environment=self._settings)
        self._child = Child(launch, folder=self.log_file.parent, log_file=self.log_file)

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        if self._child:
            self._child.kill()

    def suspend(self) -> None:
        """Freeze it."""
        self._started.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._started.signal(signal.SIGCONT)

    def terminate(self) -> tuple[int | None, float]:
        """End it with SIGTERM; return its exit code and how many seconds it took."""
        begun = time.monotonic()
        self._started.stop(_END_SECONDS)
        return self.exit_code, time.monotonic() - begun

    def status(self, path: str, *, seconds: float = _ANSWER_SECONDS) -> int:
        """Return the HTTP status of a GET; 0 where nobody answers in time."""
        return ask(self.port, "GET", path, seconds=seconds)[0]

    def get(self, path: str) -> str:
        """Return the body of a GET, whatever its status."""
        return ask(self.port, "GET", path)[1].decode()

    def metric(self, name: str) -> float:
        """Return the sum of a metric's samples; 0 where it has none, or nobody answers."""
        families = text_string_to_metric_families(self.get("/metrics"))
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def classify(self, text: str) -> tuple[int, Any]:
        """Classify over HTTP; return the status and the answer."""
        status, answer = ask(self.port, "POST", "/api/v1/intents/classify", json.dumps({"text": text}).encode())
        return status, json.loads(answer) if answer else None

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Say something over HTTP; return the status and the answer."""
        status, answer = ask(self.port, "POST", path, json.dumps(body).encode())
        return status, json.loads(answer) if answer else None

    def patch(self, path: str, body: Any, *, seconds: float = _ANSWER_SECONDS) -> tuple[int, Any]:
        """Change something over HTTP; return the status and the answer."""
        status, answer = ask(self.port, "PATCH", path, json.dumps(body).encode(), seconds=seconds)
        return status, json.loads(answer) if answer else None

    @property
    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.worker_id} was never started.")
        return self._child
