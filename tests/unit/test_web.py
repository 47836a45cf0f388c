"""What callers of a worker's web server meet before any route: bytes that are no HTTP, and its bounds."""

from __future__ import annotations

import asyncio
import itertools
import json
import select
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from schemas.settings import Web
from streams.web import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORDS = b"planted-words"


@pytest.fixture
def door() -> asyncio.Event:
    """What `/slowly` waits for before it answers."""
    return asyncio.Event()


@pytest.fixture
async def server(door: asyncio.Event) -> AsyncIterator[WebServer]:
    async with serving(Web(port=0, max_connections=2), door) as server:
        yield server


@pytest.fixture
async def hasty(door: asyncio.Event) -> AsyncIterator[WebServer]:
    """One that waits no longer than a moment for a request."""
    async with serving(Web(port=0, max_request_seconds=0.1), door) as server:
        yield server


@asynccontextmanager
async def serving(settings: Web, door: asyncio.Event) -> AsyncIterator[WebServer]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="answered")

    async def answer_slowly(_request: web.Request) -> web.Response:
        await door.wait()
        return web.Response(text="answered")

    application = web.Application()
    application.add_routes([web.get("/", answer), web.post("/", answer), web.get("/slowly", answer_slowly)])
    server = WebServer(application, settings)
    await server.on_start()
    yield server
    await server.on_stop()


async def connect(server: WebServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*server.addresses[0][:2])


async def answer_to(server: WebServer, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and return what comes until the server closes: status, headers, body."""
    reader, writer = await connect(server)
    writer.write(request)
    said = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"%s\r\n\r\n" % WORDS,
        b"GET / HTTP/1.1\r\n%s\r\n\r\n" % WORDS,
        b"GET /%s HTTP/9.%s\r\n\r\n" % (WORDS, WORDS),
        b"GET / HTTP/1.1\r\nHost: a\r\n%s\x00: b\r\n\r\n" % WORDS,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\n" % WORDS,
        b"GET / HTTP/1.1\r\nHost: a\r\nLong: %s\r\n\r\n" % (WORDS * 10_000),
    ],
    ids=["no request", "no header", "version", "header name", "length", "too long"],
)
async def test_what_is_no_http_is_answered_as_a_problem_and_told_nothing_of_itself(
    server: WebServer, request_bytes: bytes
) -> None:
    status, headers, body = await answer_to(server, request_bytes)
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert json.loads(body) == {"title": "Bad Request", "status": 400, "code": "bad_request", "detail": "Bad Request."}
    assert (headers["Server"], headers["X-Content-Type-Options"]) == ("intentstream", "nosniff")
    assert WORDS not in body


async def test_a_connection_too_many_is_answered_503_and_those_there_go_on(server: WebServer) -> None:
    url = "http://{}:{}/".format(*server.addresses[0][:2])
    async with aiohttp.ClientSession() as session:
        _, other = await connect(server)
        assert await _text(session, url) == "answered"  # the second connection, kept alive
        status, headers, body = await answer_to(server, b"")
        assert (status, json.loads(body)["code"]) == (503, "unavailable")
        assert int(headers["Content-Length"]) == len(body)
        assert await _text(session, url) == "answered"
        other.close()
        async with asyncio.timeout(10):
            while (await answer_to(server, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))[0] != 200:
                pass


def trickle(address: tuple[str, int]) -> bytes:
    """Send a request byte by byte until something is said; return that."""
    said = b""
    with socket.create_connection(address, timeout=10) as connection:
        for byte in itertools.chain(b"GET / HTTP/1.1\r\nLong: ", itertools.repeat(ord("x"))):
            if select.select([connection], [], [], 0.01)[0]:
                break
            connection.send(bytes([byte]))
        with suppress(ConnectionResetError):  # where a byte and the end have crossed
            while chunk := connection.recv(4_096):
                said += chunk
    return said


async def test_a_request_whose_headers_trickle_is_answered_408_and_closed(hasty: WebServer) -> None:
    head, _, body = (await asyncio.to_thread(trickle, hasty.addresses[0][:2])).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["code"] == "request_timeout"


async def test_a_connection_that_says_nothing_is_closed_as_well(hasty: WebServer) -> None:
    assert (await answer_to(hasty, b""))[0] == 408


async def test_who_has_asked_in_time_is_waited_for_and_may_ask_again_later(
    hasty: WebServer, door: asyncio.Event
) -> None:
    reader, writer = await connect(hasty)
    request = b"GET /slowly HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(2):
        writer.write(request)
        assert (await answer_to(hasty, b""))[0] == 408, "so long has passed while it is answered"
        door.set()
        assert (await asyncio.wait_for(reader.readuntil(b"answered"), 10)).startswith(b"HTTP/1.1 200 ")
        door.clear()
        assert (await answer_to(hasty, b""))[0] == 408, "and so long while it asks nothing"
    writer.close()


async def test_a_connection_that_asks_nothing_more_is_closed(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.connections._IDLE_SECONDS", 0.05)
    status, _, body = await answer_to(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, body) == (200, b"answered")


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as response:
        return await response.text()
