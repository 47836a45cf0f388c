"""The Java and the Maven of this machine, which the embedded broker needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from infra.embedded.errors import MissingProgramError

OLDEST_JAVA = 17  # Kafka 4's broker
_INSTEAD = "or name a broker of your own in INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS"


def find_java() -> Path:
    """Return the Java to run.

    Raises:
        MissingProgramError: There is none, or only one that is too old.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        where = f"JAVA_HOME ({home})" if home else "PATH"
        raise MissingProgramError(f"No java in {where}: install Java {OLDEST_JAVA} or newer, {_INSTEAD}.")
    spoken = subprocess.run([found, "-version"], capture_output=True, text=True, check=False, timeout=30)
    version = java_version(spoken.stderr + spoken.stdout)
    if version is None or version < OLDEST_JAVA:
        found_version = "does not tell its version" if version is None else f"is Java {version}"
        raise MissingProgramError(f"{found} {found_version}: install Java {OLDEST_JAVA} or newer, {_INSTEAD}.")
    return Path(found)


def find_maven() -> Path:
    """Return the Maven to run.

    Raises:
        MissingProgramError: There is none.
    """
    found = shutil.which("mvn")
    if found is None:
        raise MissingProgramError(f"No mvn in PATH: install Maven, which downloads Kafka once, {_INSTEAD}.")
    return Path(found)


def java_version(spoken: str) -> int | None:
    """Return the release that `java -version` speaks of: 17 for "17.0.15", 8 for "1.8.0_452"."""
    match = re.search(r'version "(?:1\.)?(\d+)', spoken)
    return int(match[1]) if match else None
