"""A worker that serves releases, and the command line of whoever makes them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from models.catalogue import default_catalogue_path, load_catalogue
from models.release import Provenance, make_release
from tests.kit.command import run_command
from tests.kit.waiting import wait_until
from tests.kit.word_release import write_release
from tests.kit.worker import WorkerProcess

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

LABELS = load_catalogue(default_catalogue_path()).labels


class Fleet:
    """One worker, and the commands of whoever releases models for it.

    Args:
        broker: Its bootstrap servers.
        state: Where the worker's prepared models lie.
        folder: For all that is made here.
        store: URL of the folder of all releases.
        python: Runs both; that of another environment, where the store needs more than ours has.
    """

    def __init__(self, broker: str, *, state: Path, folder: Path, store: str, python: str = sys.executable) -> None:
        self.store = store
        self._broker = broker
        self._folder = folder
        self._python = python
        self._made = 0
        self.worker = WorkerProcess(broker, state_folder=state, log_file=folder / "worker.log")
        self.worker.command = (python, *self.worker.command[1:])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run `intentstream models`."""
        return run_command(
            "models",
            *arguments,
            python=self._python,
            KAFKA__BOOTSTRAP_SERVERS=self._broker,
            STATE_FOLDER=self._folder / "state",
            MODELS__STORE=self.store,
        )

    def answer(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def trained(self, labels: tuple[str, ...] = LABELS) -> Path:
        """Return a release as `train` writes it; its network knows an intent by its name."""
        self._made += 1
        folder = self._folder / f"trained-{self._made}"

        def write(made: Path) -> Provenance:
            write_release(made, labels, words=labels)
            return Provenance(catalogue="c", code="1", seed=self._made, metrics={"test_in_scope_accuracy": 0.9})

        make_release(folder, write)
        return folder

    def pushed(self) -> str:
        """Push another release of distilbert; return its name."""
        name: str = self.answer("push", str(self.trained()))["release"]
        return name

    def wait_until_serving(self, part: str) -> None:
        wait_until(lambda: part in self.health.get("releaseId", ""), f"{part} serves", also=self._more)

    def wait_until_behind(self, words: str) -> None:
        wait_until(lambda: words in self.behind, f"health says: {words}", also=self._more)

    def wait_until_in_line(self) -> None:
        wait_until(
            lambda: self.health["checks"]["releases:log"][0]["status"] == "pass",
            "what was announced serves",
            also=self._more,
        )

    @property
    def health(self) -> Any:
        return json.loads(self.worker.get("/health") or "{}")

    @property
    def behind(self) -> str:
        """Return why another release serves than was announced, as health says."""
        said: str = self.health["checks"]["releases:log"][0].get("output", "")
        return said

    def tier_of(self, text: str) -> str:
        status, answer = self.worker.classify(text)
        assert status == 200
        tier: str = answer["result"]["tier"]
        return tier

    def _more(self) -> str:
        return f"{json.dumps(self.health, indent=1)}\n{self.worker.log[-6_000:]}"
