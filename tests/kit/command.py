"""Runs the command line as a shell would, with nothing of this process's settings."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODULE = ("-m", "infra.cli.main")
COMMAND = (sys.executable, *_MODULE)
_SECONDS = 120


def command_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return our environment with these settings and no others, by their names without the prefix."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("INTENTSTREAM_")}
    return ours | {f"INTENTSTREAM_{name}": str(value) for name, value in settings.items()}


def run_command(
    *arguments: str, stdin: bytes = b"", python: str = sys.executable, **settings: object
) -> subprocess.CompletedProcess[bytes]:
    """Run `intentstream` with these arguments and settings until it ends, in the environment of a Python."""
    return subprocess.run(
        [python, *_MODULE, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=_SECONDS,
        env=command_environment(settings),
    )
