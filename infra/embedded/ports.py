"""Ports of this machine: whether one is free, and who has it if not."""

from __future__ import annotations

import random
import socket

import psutil

from infra.embedded.errors import PortInUseError

LOOPBACK = "127.0.0.1"


_FREE_PORTS = range(20_000, 32_768)
"""Below those that the system gives to outgoing connections: such a port could be taken before it is listened on."""


def free_port() -> int:
    """Return a port that nobody listens on just now.

    Raises:
        PortInUseError: There seems to be none.
    """
    for port in random.sample(_FREE_PORTS, k=100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise PortInUseError(f"No free port was found from {_FREE_PORTS.start} to {_FREE_PORTS.stop - 1}.")


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
