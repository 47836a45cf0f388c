"""Connections of HTTP callers: no more than a worker has room for, and none that is told its own bytes.

aiohttp answers what it cannot read as HTTP before any application is asked, in plain text, with what it could not read.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from aiohttp import web

from health.middleware import secure, status_problem

if TYPE_CHECKING:
    from collections.abc import Callable


_IDLE_SECONDS = 75.0
"""After a request, until the next: aiohttp would keep an idle connection for an hour, and so a place of the few."""

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/problem+json\r\n"
    b"Content-Length: 107\r\n"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n"
    b"Server: intentstream\r\n\r\n"
    b'{"title":"Service Unavailable","status":503,"code":"unavailable","detail":"Too many connections are open."}'
)


def connector(server: web.Server, *, max_connections: int) -> Callable[[], asyncio.Protocol]:
    """Return what asyncio calls for each new connection.

    Args:
        server: Knows the connections and what answers on them.
        max_connections: Open at once; one more is answered 503 and closed. Those that arrive in the same turn of the
            loop do not see each other, so it may be exceeded by as many as the system keeps waiting.
    """
    loop = asyncio.get_running_loop()

    def connect() -> asyncio.Protocol:
        if len(server.connections) >= max_connections:
            return _Refusal()
        return _Connection(server, loop=loop, access_log=None, keepalive_timeout=_IDLE_SECONDS)  # type: ignore[arg-type]  # None: no access log

    return connect


class _Connection(web.RequestHandler):
    """aiohttp's, but what it cannot read is answered as every error of ours."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with the status and nothing else, and close.

        Raises:
            ConnectionError: Part of another answer was sent already.
        """
        super().handle_error(request, status, exc, message)  # logs, and raises if it is too late
        response = status_problem(status)
        secure(response)
        response.force_close()
        return response


class _Refusal(asyncio.Protocol):
    """A connection too many: told so, whatever it asks, and closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer and close."""
        writing = cast("asyncio.WriteTransport", transport)
        writing.write(_TOO_MANY)
        writing.close()
