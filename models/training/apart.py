"""Has a network learn in a process of its own, at the lowest priority, which ends when whoever asked for it does.

torch stays out of the worker's memory, the interpreter out of training's way; what serves goes first.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from models.torch_extra import require_torch
from models.training.assignment import Assignment
from models.training.contest import Contest  # noqa: TC001 - msgspec reads it from here
from schemas.errors import IntentStreamError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_NICENESS = 19
_LOOK_SECONDS = 1.0


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the process says at its end: what came of it, or why nothing did."""

    contest: Contest | None = None
    fault: str = ""


def attempt_apart(assignment: Assignment, *, goes_on: Callable[[], bool]) -> Contest | None:
    """Have a network learn, and wait for what comes of it.

    Args:
        assignment: What it learns.
        goes_on: Asked once a second; once it is false, the process is ended.

    Returns:
        None where it was given up.

    Raises:
        UnavailableError: torch is not there, the owner's release holds nothing that can be trained, or the process was
            ended by somebody else.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a library's trace may have texts in it; what went wrong is said in the outcome
    ) as process:
        said = _said(process, msgspec.json.encode(assignment) + b"\n", goes_on)
    if said is None:
        return None
    if not said:
        raise UnavailableError(f"Training ended before it was done, with exit code {process.returncode}.")
    outcome = msgspec.json.decode(said, type=_Outcome)
    if outcome.contest is None:
        raise UnavailableError(f"Training failed: {outcome.fault}")
    return outcome.contest


def _said(process: subprocess.Popen[bytes], assignment: bytes, goes_on: Callable[[], bool]) -> bytes | None:
    """Return what the process says at its end; None where nobody wants to know any more."""
    said: list[bytes] = []
    told, heard = process.stdin, process.stdout
    if told is None or heard is None:
        raise UnavailableError("Training has no pipe to be spoken to by.")

    def talk() -> None:
        with contextlib.suppress(OSError):  # it has ended; what it said tells why
            told.write(assignment)
            told.flush()
        said.append(heard.read())

    talking = threading.Thread(target=talk, name="network-training", daemon=True)
    talking.start()
    try:
        while talking.is_alive():
            talking.join(_LOOK_SECONDS)
            if talking.is_alive() and not goes_on():
                return None
        return b"".join(said)
    finally:
        process.kill()
        talking.join()


def main() -> None:
    """Read an assignment from the standard input, do it, and write what came of it to the standard output."""
    os.nice(_NICENESS)
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print
    assignment = msgspec.json.decode(sys.stdin.buffer.readline(), type=Assignment)
    threading.Thread(target=_end_with_who_asked, daemon=True).start()
    with os.fdopen(answer, "wb") as pipe:
        pipe.write(msgspec.json.encode(_outcome(assignment)))
    os._exit(0)  # an interpreter that ends while a thread reads from the pipe aborts


def _outcome(assignment: Assignment) -> _Outcome:
    try:
        require_torch("Training", "train")
        from models.training.further import Further  # noqa: PLC0415 - imports torch

        return _Outcome(contest=Further(assignment).attempt())
    except IntentStreamError as error:
        return _Outcome(fault=str(error))
    except Exception as error:  # noqa: BLE001 - the process's guard; its message may have a text in it
        return _Outcome(fault=f"an unexpected {type(error).__name__}")


def _end_with_who_asked() -> None:
    """End this process at once when the pipe closes: nobody is there to hear of it."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
