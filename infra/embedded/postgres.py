"""The embedded database: the Postgres that the package pgserver ships."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.embedded import ports
from infra.embedded.complaints import last_complaint
from infra.embedded.errors import ServerDiedError
from infra.embedded.packages import find_packaged
from infra.embedded.process import Child, Launch

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from infra.embedded.server import Say

ROLE = "intentstream"
DATABASE = "intentstream"
_UNPRIVILEGED = "nobody"
_POLL_SECONDS = 0.1
_QUERY_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class PostgresProgram:
    """How to run Postgres."""

    name: str = "postgres"
    port_setting: str = "INTENTSTREAM_EMBEDDED__POSTGRES_PORT"

    def prepare(self, folder: Path, port: int, *, say: Say, cancelled: threading.Event) -> Launch:
        """Make its data folder the first time."""
        data = folder / "data"
        if not data.exists():
            say("making its data folder")
            _initialise(data, cancelled)
        command = [str(find_program("postgres")), "-D", str(data), "-p", str(port), "-h", ports.LOOPBACK]
        command += ["-k", "", "-c", "shared_buffers=32MB", "-c", "max_connections=50"]
        # SIGINT is what Postgres calls a fast shutdown: it does not wait for clients to leave.
        return Launch(command=command, user=server_user(), stop_signal=signal.SIGINT)

    def answers(self, port: int) -> bool:
        """Return whether it answers a query on our database, which is made where it is not there yet."""
        if not ports.answers(port):
            return False
        if _query(port, DATABASE, "SELECT 1"):
            return True
        return _query(port, "postgres", f"CREATE DATABASE {DATABASE}") and _query(port, DATABASE, "SELECT 1")

    def endpoint(self, port: int) -> str:
        """Return its DSN."""
        return f"postgresql://{ROLE}@{ports.LOOPBACK}:{port}/{DATABASE}"


def find_program(name: str) -> Path:
    """Return the path of one of Postgres's programs, such as "psql".

    Raises:
        MissingProgramError: The package is not installed.
    """
    return find_packaged(
        "pgserver", f"pginstall/bin/{name}", server="Postgres", setting="INTENTSTREAM_POSTGRES__DSN (postgresql://…)"
    )


def server_user() -> tuple[int, int] | None:
    """Return whom to run as: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(_UNPRIVILEGED)
    return entry.pw_uid, entry.pw_gid


def _initialise(data: Path, cancelled: threading.Event) -> None:
    """Make a data folder; one that was not finished never gets its name."""
    unfinished, log_file = data.with_name("data.new"), data.with_name("initdb.log")
    shutil.rmtree(unfinished, ignore_errors=True)
    log_file.unlink(missing_ok=True)
    unfinished.mkdir(mode=0o700)
    user = server_user()
    if user:
        os.chown(unfinished, *user)
    command = [str(find_program("initdb")), "-D", str(unfinished), "-U", ROLE, "--auth=trust", "--encoding=UTF8"]
    command += ["--locale=C", "--no-instructions"]
    initdb = Child(Launch(command=command, user=user), folder=data.parent, log_file=log_file)
    try:
        while (exit_code := initdb.wait(_POLL_SECONDS, cancelled)) is None:
            pass
    finally:
        initdb.kill()
    if exit_code != 0:
        said = last_complaint(log_file.read_text(errors="replace"))
        raise ServerDiedError(
            f"Postgres could not make {data} ({said}): see that its user may write there, "
            "or name a Postgres of your own in INTENTSTREAM_POSTGRES__DSN."
        )
    unfinished.rename(data)


def _query(port: int, database: str, query: str) -> bool:
    command = [str(find_program("psql")), "-X", "-q", "-h", ports.LOOPBACK, "-p", str(port), "-U", ROLE, "-d", database]
    try:
        asked = subprocess.run([*command, "-c", query], capture_output=True, check=False, timeout=_QUERY_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0
