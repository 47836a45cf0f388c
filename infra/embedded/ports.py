"""Ports of this machine: whether one is free, and who has it if not."""

from __future__ import annotations

import socket

import psutil

from infra.embedded.errors import PortInUseError

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(port: int, *, server: str, setting: str) -> None:
    """Make sure that a server can listen on a port.

    Raises:
        PortInUseError: It cannot; the message names who listens there, where that can be known.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortInUseError(
                f"Port {port}, where {server} should listen, {_holder(port)}: "
                f"end that, or set {setting} to a free port."
            ) from error


def answers(port: int) -> bool:
    """Return whether someone accepts connections on a port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.pid
                and (connection.laddr or (None, None))[1] == port
            ):
                return f"is in use by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:  # other people's processes may be hidden from us, or be gone by now
        pass
    return "is in use or not ours to take"
