"""Where the Python packages that ship a server's program put it. They are never imported: both act when they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from infra.embedded.errors import MissingProgramError


def find_packaged(package: str, program: str, *, server: str, setting: str) -> Path:
    """Return the path of a program inside an installed package.

    Raises:
        MissingProgramError: It is not installed, as on Python 3.13, for which it has no wheels.
    """
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / program
        if path.exists():
            return path
    raise MissingProgramError(
        f"There is no embedded {server} for this Python ({package} has no wheel for it): "
        f"name a server of your own in {setting}, or use Python 3.12."
    )
