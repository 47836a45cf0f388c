"""Kafka's jars: brought once by Maven into its own repository, and remembered as a class path."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from infra.embedded.errors import DownloadError
from infra.embedded.java import find_maven
from infra.embedded.process import Child, Launch

if TYPE_CHECKING:
    import threading

    from infra.embedded.server import Say

POM = Path(__file__).with_name("pom.xml")
_POLL_SECONDS = 0.1


def resolve_class_path(cache: Path, *, say: Say, cancelled: threading.Event) -> str:
    """Return the class path of the jars that `pom.xml` pins, bringing them where one is missing.

    Args:
        cache: A folder that several processes may share; what stands there is named after the pom's hash.
        say: Told when there is something to download.
        cancelled: Calls a download off.

    Raises:
        MissingProgramError: There is something to bring, and no Maven.
        DownloadError: Maven failed.
        StartCancelledError: `cancelled` was set.
    """
    cache.mkdir(parents=True, exist_ok=True)
    pinned = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    remembered = cache / f"kafka-{pinned}.classpath"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Maven's repository is not made for two writers
        if not _is_whole(remembered):
            say("downloading Kafka with Maven (about 45 MB, once)")
            _run_maven(remembered, log_file=cache / "maven.log", cancelled=cancelled)
    return remembered.read_text().strip()


def _is_whole(class_path: Path) -> bool:
    return class_path.exists() and all(Path(jar).exists() for jar in class_path.read_text().strip().split(os.pathsep))


def _run_maven(class_path: Path, *, log_file: Path, cancelled: threading.Event) -> None:
    written = class_path.with_suffix(".new")
    command = [str(find_maven()), "--batch-mode", "--quiet", "--file", str(POM.resolve())]
    command += ["-Dstyle.color=never", f"-Dmdep.outputFile={written.resolve()}", "-Dmdep.includeScope=runtime"]
    log_file.unlink(missing_ok=True)
    maven = Child(Launch(command=[*command, "dependency:build-classpath"]), folder=class_path.parent, log_file=log_file)
    try:
        while (exit_code := maven.wait(_POLL_SECONDS, cancelled)) is None:
            pass
    finally:
        maven.kill()
    if exit_code != 0 or not _is_whole(written):
        raise DownloadError(
            f"Maven could not bring Kafka ({_first_error(log_file)}): check the network or Maven's mirror and proxy "
            f"settings, then try again; all it said is in {log_file}."
        )
    written.replace(class_path)


def _first_error(log_file: Path) -> str:
    errors = [line.removeprefix("[ERROR] ") for line in log_file.read_text(errors="replace").splitlines() if line]
    return errors[0][:300] if errors else "it did not say why"
