"""Workers step back behind the servers of their machine, where the kernel knows how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded.session_priority import NICENESS, step_back

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel does not share the processor between sessions"
)


def test_a_session_is_told_to_go_after_others() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        stepped_back = step_back(process.pid)
        said = Path(f"/proc/{process.pid}/autogroup").read_text()
        process.kill()
    assert stepped_back
    assert said.split()[-1] == str(NICENESS)


def test_a_process_that_has_ended_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not step_back(process.pid)
