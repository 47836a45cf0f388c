"""The proxy lets bytes through, and harms them in each of its ways."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING

import pytest

from infra.chaos.proxy import FREE, FaultProxy, Passage
from infra.embedded.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20.0
SILENCE_SECONDS = 0.3


class _Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            self.wfile.write(line)


class _EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """Before a server that says every line again."""
    with _EchoServer((LOOPBACK, 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with FaultProxy(port=free_port(), target=server.server_address[1]) as proxy:
                yield proxy
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with connected(proxy) as client:
        yield client


def connected(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout=SECONDS)


def exchange(client: socket.socket, line: bytes = b"hello\n") -> bytes:
    client.sendall(line)
    heard = b""
    while len(heard) < len(line) and (chunk := client.recv(65_536)):
        heard += chunk
    return heard


def test_what_is_free_passes_as_it_is(client: socket.socket) -> None:
    long = b"x" * 1_000_000 + b"\n"
    assert exchange(client) == b"hello\n"
    assert exchange(client, long) == long


def test_when_one_end_goes_the_other_is_told(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        exchange(client)
        client.shutdown(socket.SHUT_WR)
        assert is_over(client)


def test_a_cut_ends_open_connections_and_every_new_one_until_it_is_mended(
    proxy: FaultProxy, client: socket.socket
) -> None:
    exchange(client)
    proxy.let(Passage(cut=True))
    assert is_over(client)
    with connected(proxy) as another:
        assert is_over(another)
    proxy.let(FREE)
    with connected(proxy) as third:
        assert exchange(third) == b"hello\n"


def test_what_hangs_says_nothing_and_loses_nothing(proxy: FaultProxy, client: socket.socket) -> None:
    exchange(client)
    proxy.let(Passage(hung=True))
    client.settimeout(SILENCE_SECONDS)
    with pytest.raises(TimeoutError):
        exchange(client, b"later\n")
    proxy.let(FREE)
    client.settimeout(SECONDS)
    assert client.recv(100) == b"later\n"


def test_what_is_slow_comes_later_each_way(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.let(Passage(delay_seconds=0.2))
    begun = time.monotonic()
    assert exchange(client) == b"hello\n"
    assert time.monotonic() - begun >= 0.4


def test_what_is_throttled_takes_as_long_as_its_size_says(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.let(Passage(bytes_per_second=100_000))
    begun = time.monotonic()
    exchange(client, b"x" * 20_000 + b"\n")
    assert time.monotonic() - begun >= 0.2


def is_over(client: socket.socket) -> bool:
    try:
        return client.recv(100) == b""
    except ConnectionError:
        return True
