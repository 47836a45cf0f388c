"""Who changes or follows flags is killed and frozen, and the broker restarts; the log stays what was promised."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import pytest

from flags.changelog import Fold, read_change
from flags.evaluation import digest
from tests.kit.brokers import running_broker
from tests.kit.flags import FlagTopics
from tests.kit.waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from schemas.events import FlagChange

WRITERS, FOLLOWERS, FAULTS = 4, 4, 8
CHANGES = int(os.environ.get("DRILL_CHANGES", "500"))
"""Of each writer; 2,500 take some minutes."""
LONGEST_SECONDS = 600 + 0.2 * WRITERS * CHANGES
"""A machine that is busy with other things writes some ten changes a second."""
FROZEN_SECONDS = 2.0

pytestmark = [pytest.mark.drill, pytest.mark.timeout(LONGEST_SECONDS + 300)]


class Mortal(ABC):
    """A process that is killed and frozen, and started again."""

    process: subprocess.Popen[bytes]
    _log: Path
    """What its present life had to say."""

    @abstractmethod
    def start(self) -> None:
        """Start it as a new process, which `process` is from then on."""

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

    def ended_well(self) -> bool:
        """Return whether it has come to its end by itself, and see that it did not fail."""
        code = self.process.poll()
        assert code in (None, 0), f"{self.process.args!r} ended with {code}:\n{self.complaints()}"
        return code == 0

    def complaints(self) -> str:
        """Return the last of what its present life had to say."""
        return self._log.read_text()[-2000:]


class WriterProcess(Mortal):
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
        self._log = self._folder.parent / f"{life}.log"
        with (self._folder / life).open("wb") as out, self._log.open("wb") as log:
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


class FollowerProcess(Mortal):
    """One follower and what it showed in its present life."""

    def __init__(self, topics: FlagTopics, folder: Path, name: str) -> None:
        self._topics, self._folder, self._name = topics, folder, name
        self._lives = 0
        self.start()

    def start(self) -> None:
        self._lives += 1
        self._shown = self._folder / f"{self._name}.{self._lives}"
        places = [self._topics.client["bootstrap.servers"], self._topics.changelog, f"{self._folder / self._name}.json"]
        self._log = self._folder.parent / f"{self._name}.{self._lives}.log"
        with self._shown.open("wb") as out, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.kit.flag_follower", *places], stdout=out, stderr=log
            )

    def shown(self) -> list[tuple[str, str]]:
        """Return revisions and digests; a word in a revision's place is a fault."""
        lines = self._shown.read_text().splitlines(keepends=True)
        return [(line.split()[0], line.split()[1]) for line in lines if line.endswith("\n")]

    def reached(self) -> str:
        """Return the last revision it showed, as it said it."""
        shown = self.shown()
        return shown[-1][0] if shown else ""


def complaints(mortals: Sequence[Mortal]) -> str:
    return "\n".join(f"{mortal.process.args!r}:\n{mortal.complaints()}" for mortal in mortals)


def written(writers: Sequence[WriterProcess]) -> int:
    return sum(len(writer.promised()) for writer in writers)


def have_written(writers: Sequence[WriterProcess], changes: int) -> bool:
    for writer in writers:
        writer.ended_well()
    return written(writers) >= changes


def audited(topics: FlagTopics) -> list[FlagChange]:
    return [read_change((record.key or b"").decode(), record.value) for record in topics.records(topics.audit)]


def digests(history: list[FlagChange]) -> dict[int, str]:
    """Return what the state was at each revision; at revision 0, that of a log nobody has written to."""
    changes: dict[str, FlagChange] = {}
    states = {0: digest({})}
    for change in history:
        changes[change.name] = change
        states[change.revision] = digest(changes)
    return states


def test_nothing_is_lost_reordered_or_twice_whoever_dies(tmp_path: Path) -> None:
    dice = random.Random(20_261_123)  # noqa: S311 - no secret
    folder = tmp_path / "promises"
    folder.mkdir()
    with running_broker(tmp_path / "broker") as broker, FlagTopics(broker.endpoint, tmp_path) as topics:
        followers = [FollowerProcess(topics, folder, f"follower-{number}") for number in range(FOLLOWERS)]
        writers = [WriterProcess(topics, folder, f"writer-{number}") for number in range(WRITERS)]
        mortals: list[Mortal] = [*writers, *followers]
        try:
            for fault in range(FAULTS):
                step = (fault + 1) * WRITERS * CHANGES // (FAULTS + 2)
                wait_until(
                    lambda: have_written(writers, step),  # noqa: B023 - waited for here
                    "they go on",
                    seconds=LONGEST_SECONDS,
                    also=lambda: complaints(mortals),
                )
                victim: Mortal = dice.choice(writers) if fault % 2 else dice.choice(followers)
                if fault % 4 == 3:
                    broker.stop()
                    broker.start()
                else:
                    (victim.freeze if fault // 2 % 2 else victim.kill_and_start_again)()
            wait_until(
                lambda: all(each.ended_well() for each in writers),
                "all are done",
                seconds=LONGEST_SECONDS,
                also=lambda: complaints(mortals),
            )
            last = str(max(change.revision for change in audited(topics)))
            for follower in followers:
                wait_until(
                    lambda: follower.reached() == last,  # noqa: B023 - likewise
                    f"it has read everything, to revision {last}",
                    also=lambda: f"{follower.reached()}\n{complaints([follower])}",  # noqa: B023 - likewise
                )
        finally:
            for mortal in mortals:
                mortal.stop()

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
        states = digests(history)
        assert states[fold.revision] == fold.digest
        for follower in followers:
            shown = [(int(revision), shown_digest) for revision, shown_digest in follower.shown()]
            assert shown == sorted(shown)  # never back
            assert all(states[revision] == state for revision, state in shown)
            assert shown[-1] == (fold.revision, fold.digest)
