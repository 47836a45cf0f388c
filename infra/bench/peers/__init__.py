"""The peers, each a project of its own with its own lock: none has to live with our versions, nor we with theirs."""

from __future__ import annotations

import shutil
import subprocess
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
    return [*_uv("run", peer), "python", str(_HERE / peer / script), *arguments]


def prepare_peer(peer: str) -> None:
    """Have uv make a peer's environment, where there is none.

    Raises:
        UnavailableError: There is no uv, or it could not.
    """
    done = subprocess.run(_uv("sync", peer), check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1].strip()
        raise UnavailableError(
            f"uv could not install {_HERE.name}/{peer}: {said}: check the network or uv's index settings, "
            "then try again."
        )


def _uv(command: str, peer: str) -> list[str]:
    uv = shutil.which("uv") or shutil.which("uv", path=_CHECKOUT / ".uv" / "bin")
    if uv is None:
        raise UnavailableError("uv prepares the peers and is not here: `make install` brings it into the checkout.")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [uv, command, "--quiet", "--frozen", "--python", python, "--project", str(_HERE / peer)]
