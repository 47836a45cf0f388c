"""Becomes a server that cannot outlive whoever started it, not even when that process is killed with SIGKILL.

Run as a script, with standard input the reading end of a pipe whose writing end only the starter holds. A fork of this
process waits for that pipe to close and then stops the server; this process itself becomes the server, so the starter
holds the server's own pid. (Linux has PR_SET_PDEATHSIG for this, but it fires when the *thread* that forked ends, and
is set in a `preexec_fn`, which is unsafe in a process with threads.)

Imports nothing of ours: it starts in milliseconds and runs as root where the starter does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

_PR_SET_SECUREBITS = 28
_SECBIT_KEEP_CAPS = 1 << 4
_SECBIT_NO_SETUID_FIXUP = 1 << 2  # access(2), which Postgres asks, would forget the capability without it
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: list[str]) -> None:
    """Become the server.

    Args:
        arguments: The signal that asks the server to stop; the seconds it has then; `uid:gid` to run as, or nothing;
            the command line.
    """
    stop_signal, grace_seconds, user, *command = arguments
    server = os.getpid()
    if os.fork() == 0:
        os.setsid()  # what is sent to the server's group must not reach its watcher
        _stop_when_abandoned(server, int(stop_signal), float(grace_seconds))
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if user:
        _become(*map(int, user.split(":")))
    os.execvp(command[0], command)  # noqa: S606 - becoming that program is the purpose


def _stop_when_abandoned(server: int, stop_signal: int, grace_seconds: float) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    while os.read(0, 1):
        pass
    deadline = time.monotonic() + grace_seconds
    asked = False
    while os.getppid() == server:  # a parent's pid is not reused while we are its child
        if not asked:
            os.kill(server, stop_signal)
            os.kill(server, signal.SIGCONT)  # a frozen one would not hear
            asked = True
        elif time.monotonic() > deadline:
            os.killpg(server, signal.SIGKILL)
        time.sleep(0.02)


def _become(user_id: int, group_id: int) -> None:
    """Give up being root, but not root's way through folders that only root may enter.

    The checkout often lies in such a folder, the home of root, with the server's program and its data in it. Of root's
    capabilities the one that opens files is kept, and no other. Where the kernel refuses, the server itself will say
    which file it could not open.
    """
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        capset = ctypes.CDLL(None).capset
        prctl(_PR_SET_SECUREBITS, *map(ctypes.c_ulong, (_SECBIT_KEEP_CAPS | _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)))
    os.setgroups([])
    os.setgid(group_id)
    os.setuid(user_id)
    if sys.platform == "linux":
        capability = 1 << _CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        effective_permitted_inheritable = (ctypes.c_uint32 * 6)(capability, capability, capability, 0, 0, 0)
        capset(header, effective_permitted_inheritable)
        prctl(_PR_CAP_AMBIENT, *map(ctypes.c_ulong, (_PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)))


if __name__ == "__main__":
    main(sys.argv[1:])
