"""What asking for a flag costs, beside the SDKs a user would pick: one process asks all of them in turn."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec

from infra.bench.peers import peer_command
from schemas.errors import UnavailableError

OURS = "ours"
_SECONDS = 300
_CHECKOUT = Path(__file__).parents[2]


def measure_evaluation(rounds: int) -> dict[str, list[float]]:
    """Return microseconds of one answer, a number a round, by question and library, such as `targeting.launchdarkly`.

    Raises:
        UnavailableError: The peers could not be run, or one does not decide what it is asked for.
    """
    command = peer_command("flags", "evaluate.py", str(rounds))
    environment = os.environ | {"PYTHONPATH": str(_CHECKOUT)}  # ours is measured there, too
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"The flags' peers: not done within {_SECONDS} s.") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(
            f"The flags' peers: exit status {error.returncode}: {error.stderr.strip()[-500:]}"
        ) from error
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=dict[str, list[float]])
