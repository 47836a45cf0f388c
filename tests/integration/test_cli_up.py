"""`intentstream up` from the first result to the last process, with everything it starts for real."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from infra.embedded.ports import free_port
from tests.kit.command import COMMAND, command_environment, run_command
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHECKOUT_STATE = Path(__file__).parents[2] / ".intentstream"
_START_SECONDS = 180.0
_STOP_SECONDS = 60.0


class Up:
    """A running `intentstream up`, without a terminal and without standard input."""

    def __init__(self, settings: Mapping[str, object], output: Path) -> None:
        self.settings = settings
        self._output = output
        with output.open("wb") as written:
            self._process = subprocess.Popen(
                [*COMMAND, "up", "--rate", "20"],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                env=command_environment(settings),
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._output.read_text()

    @property
    def children(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    @property
    def worker(self) -> psutil.Process:
        (worker,) = (child for child in psutil.Process(self._process.pid).children() if "worker" in child.cmdline())
        return worker

    def wait_for(self, words: str) -> None:
        def is_said() -> bool:
            assert self._process.poll() is None, self.said
            return words in self.said

        wait_until(is_said, f"it said {words!r}", seconds=_START_SECONDS, also=lambda: self.said)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return self._process.wait(_STOP_SECONDS)

    def clean_up(self) -> None:
        if self._process.poll() is None:
            for process in [*self.children, psutil.Process(self._process.pid)]:
                process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all of the data; Kafka's jars are the checkout's, which may be there already."""
    folder = tmp_path_factory.mktemp("up")
    (_CHECKOUT_STATE / "jars").mkdir(parents=True, exist_ok=True)
    (folder / "jars").symlink_to(_CHECKOUT_STATE / "jars")
    return folder


@pytest.fixture
def settings(state_folder: Path) -> dict[str, object]:
    """Free ports for everything."""
    ports = ("WEB__PORT", "EMBEDDED__KAFKA_PORT", "EMBEDDED__REDIS_PORT", "EMBEDDED__POSTGRES_PORT")
    return {"STATE_FOLDER": state_folder} | {name: free_port() for name in ports}


@contextmanager
def running(settings: Mapping[str, object], output: Path) -> Iterator[Up]:
    up = Up(settings, output)
    try:
        yield up
    finally:
        up.clean_up()


def left_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if runs(process)]


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def test_it_reaches_a_first_result_and_ctrl_c_leaves_nothing_running(
    settings: dict[str, object], tmp_path: Path
) -> None:
    with running(settings, tmp_path / "said") as up:
        up.wait_for("The first result came")
        up.wait_for(" → ")
        up.wait_for("of memory")
        with urllib.request.urlopen(f"http://127.0.0.1:{settings['WEB__PORT']}/health/ready", timeout=10) as answer:
            assert answer.status == 200
        started = up.children
        assert len(started) >= 4  # the worker and three servers
        assert up.end(signal.SIGINT) == 0
        assert left_running(started) == []
        assert "Traceback" not in up.said


def test_it_starts_a_dead_worker_again_on_the_data_of_before_and_ends_on_sigterm(
    settings: dict[str, object], tmp_path: Path
) -> None:
    with running(settings, tmp_path / "said") as up:
        up.wait_for("The first result came")
        killed = up.worker
        killed.kill()
        up.wait_for("The worker was started again.")
        up.wait_for("sample utterances were played and answered")
        assert up.worker != killed
        started = up.children
        assert up.end(signal.SIGTERM) == 0
        assert left_running(started) == []


def test_killed_itself_it_takes_all_it_started_with_it(settings: dict[str, object], tmp_path: Path) -> None:
    with running(settings, tmp_path / "said") as up:
        up.wait_for("The first result came")
        started = up.children
        up.end(signal.SIGKILL)
        wait_until(lambda: not left_running(started), "all it started had ended", seconds=_STOP_SECONDS)


def test_a_second_ctrl_c_does_not_wait_for_a_worker_that_hangs(settings: dict[str, object], tmp_path: Path) -> None:
    with running(settings, tmp_path / "said") as up:
        up.wait_for("The first result came")
        started = up.children
        up.worker.suspend()
        up.interrupt()
        up.wait_for("Stopping")
        begun = time.monotonic()
        assert up.end(signal.SIGINT) == 0
        assert time.monotonic() - begun < 15  # twenty would be the worker's
        # What is killed is gone once the kernel has buried it, which is a moment later.
        wait_until(lambda: not left_running(started), "all it started had ended", seconds=_STOP_SECONDS)


def test_ctrl_c_while_it_starts_leaves_nothing_running(settings: dict[str, object], tmp_path: Path) -> None:
    with running(settings, tmp_path / "said") as up:
        up.wait_for("kafka: starting")
        started = up.children
        assert up.end(signal.SIGINT) == 0
        # A Postgres that is killed while it starts is outlived for a moment by children in sessions of their own.
        wait_until(lambda: not left_running(started), "all it started had ended", seconds=_STOP_SECONDS)


def test_a_web_port_in_use_is_one_sentence_that_names_the_setting(settings: dict[str, object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run_command("up", **{**settings, "WEB__PORT": taken.getsockname()[1]})
    assert ended.returncode == 69
    assert b"INTENTSTREAM_WEB__PORT" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
