"""A worker process that a test waits for, and whose log it shows when that was in vain."""

from __future__ import annotations

from infra.chaos.worker import MortalWorker
from tests.kit.waiting import wait_until

_LOG_TAIL = 6_000


class WorkerProcess(MortalWorker):
    """One `intentstream worker`. Entering starts it; leaving kills whatever of it still runs."""

    def wait_for(self, path: str, status: int, *, seconds: float = 90.0) -> float:
        """Wait until a path answers with a status, and the process runs; return how many seconds it took."""
        return wait_until(
            lambda: self._is_alive() and self.status(path) == status,
            f"{path} of {self.worker_id} answers {status}",
            seconds=seconds,
            also=self._said_last,
        )

    def wait_until_ready(self, seconds: float = 90.0) -> float:
        """Wait until it may be sent traffic."""
        return self.wait_for("/health/ready", 200, seconds=seconds)

    def wait_until_loaded(self, seconds: float = 240.0) -> float:
        """Wait until it has started with all its models, which the first on a state folder has to train."""
        return wait_until(
            lambda: self._is_alive() and self.get("/health/startup").startswith('{"status":"pass"'),
            f"{self.worker_id} has every model",
            seconds=seconds,
            also=self._said_last,
        )

    def _is_alive(self) -> bool:
        assert self.exit_code is None, f"{self.worker_id} ended with {self.exit_code}\n{self._said_last()}"
        return True

    def _said_last(self) -> str:
        return f"its log ends with:\n{self.log[-_LOG_TAIL:]}"
