"""The peers, each a project of its own with its own lock: none has to live with our versions, nor we with theirs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from schemas.errors import UnavailableError

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parents[2]


def peer_command(peer: str, script: str, *arguments: str) -> list[str]:
    """Return the command that runs a peer's script in the peer's environment, which uv makes where there is none.

    Raises:
        UnavailableError: There is no uv.
    """
    uv = shutil.which("uv") or shutil.which("uv", path=_CHECKOUT / ".uv" / "bin")
    if uv is None:
        raise UnavailableError("uv prepares the peers and is not here: `make install` brings it into the checkout.")
    project = _HERE / peer
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    prefix = [uv, "run", "--quiet", "--frozen", "--python", python, "--project", str(project), "python"]
    return [*prefix, str(project / script), *arguments]
