"""Freezes a server as a machine that stalls would: its connections stay open, and nothing answers on them."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.embedded.server import EmbeddedServer


@contextmanager
def frozen(server: EmbeddedServer) -> Iterator[None]:
    """Freeze a server that runs, and all its children: each of Postgres's is a session of its own."""
    server_process = psutil.Process(server.pid)
    processes = [server_process, *server_process.children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a child that ends with its connection
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
