"""Processes that change flags are killed and frozen, and their broker restarts; the log stays what was promised."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flags.changelog import Fold, read_change
from tests.kit.brokers import running_broker
from tests.kit.flags import FlagTopics
from tests.kit.waiting import let_pass, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.events import FlagChange

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

WRITERS, FAULTS = 4, 4
CHANGES = int(os.environ.get("DRILL_CHANGES", "500"))
"""Of each writer; 2,500 take two to three minutes."""
FROZEN_SECONDS = 2.0


class WriterProcess:
    """One writer and what it was told it had written, over all its lives."""

    def __init__(self, topics: FlagTopics, folder: Path, name: str) -> None:
        self.name = name
        self._topics, self._folder = topics, folder
        self._lives = 0
        self.start()

    def start(self) -> None:
        self._lives += 1
        left = CHANGES - len(self.promised())
        life = f"{self.name}.{self._lives}"
        places = [
            self._topics.client["bootstrap.servers"],
            self._topics.changelog,
            self._topics.audit,
            self._topics.group,
        ]
        command = [sys.executable, "-m", "tests.kit.flag_writer", *places, life, str(left)]
        with (self._folder / life).open("wb") as out, (self._folder.parent / f"{life}.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log)

    def promised(self) -> list[tuple[int, str]]:
        """Return the revisions and salts it has been told of; a kill may cut off the last line."""
        lines = [
            line
            for file in sorted(self._folder.glob(f"{self.name}.*"))
            for line in file.read_text().splitlines(keepends=True)
        ]
        pairs = (line.split() for line in lines if line.endswith("\n"))
        return [(int(revision), salt) for revision, salt in pairs]

    def kill_and_start_again(self) -> None:
        self.process.kill()
        self.process.wait()
        self.start()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        let_pass(FROZEN_SECONDS)
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def audited(topics: FlagTopics) -> list[FlagChange]:
    return [read_change((record.key or b"").decode(), record.value) for record in topics.records(topics.audit)]


def test_nothing_is_lost_reordered_or_twice_whoever_dies(tmp_path: Path) -> None:
    dice = random.Random(20_261_123)  # noqa: S311 - no secret
    folder = tmp_path / "promises"
    folder.mkdir()
    with running_broker(tmp_path / "broker") as broker, FlagTopics(broker.endpoint, tmp_path) as topics:
        followers = [topics.follower(name=f"follower-{number}") for number in range(4)]
        writers = [WriterProcess(topics, folder, f"writer-{number}") for number in range(WRITERS)]
        try:
            for fault in range(FAULTS):
                step = (fault + 1) * WRITERS * CHANGES // (FAULTS + 2)
                wait_until(lambda: sum(len(each.promised()) for each in writers) >= step, "they go on", seconds=300)  # noqa: B023 - waited for here
                victim = dice.choice(writers)
                if fault % 4 == 3:
                    broker.stop()
                    broker.start()
                else:
                    (victim.freeze if fault % 2 else victim.kill_and_start_again)()
            wait_until(lambda: all(each.process.poll() == 0 for each in writers), "all are done", seconds=600)
        finally:
            for writer in writers:
                writer.stop()

        history = audited(topics)
        promised = [promise for writer in writers for promise in writer.promised()]
        assert len(promised) == WRITERS * CHANGES
        assert [change.revision for change in history] == list(range(1, len(history) + 1))
        assert len({change.salt + change.changed_by for change in history}) == len(history)
        assert set(promised) <= {(change.revision, change.salt) for change in history}
        assert len(history) - len(promised) <= FAULTS  # of who died before being told
        fold = Fold()
        for record in topics.records():
            assert fold.apply(record.key, record.value, record.offset) is None
        fold.settle()
        for follower in followers:
            wait_until(lambda: follower.snapshot.revision == fold.revision, "it has read everything")  # noqa: B023 - likewise
            assert follower.snapshot.digest == fold.digest
