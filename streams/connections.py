"""Connections of HTTP callers: no more than a worker has room for, none that asks nothing, and none told its own bytes.

aiohttp answers what it cannot read as HTTP before any application is asked, in plain text, with what it could not read.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

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
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\n"
    b"Content-Type: application/problem+json\r\n"
    b"Content-Length: 93\r\n"
    b"Connection: close\r\n"
    b"Server: intentstream\r\n\r\n"
    b'{"title":"Request Timeout","status":408,"code":"request_timeout","detail":"Request Timeout."}'
)


def connector(
    server: web.Server, *, max_connections: int, first_headers_seconds: float
) -> Callable[[], asyncio.Protocol]:
    """Return what asyncio calls for each new connection.

    Args:
        server: Knows the connections and what answers on them.
        max_connections: Open at once; one more is answered 503 and closed. Those that arrive in the same turn of the
            loop do not see each other, so it may be exceeded by as many as the system keeps waiting.
        first_headers_seconds: In which the first request's headers must have arrived; later, it is answered 408 and
            closed.
    """
    loop = asyncio.get_running_loop()

    def connect() -> asyncio.Protocol:
        if len(server.connections) >= max_connections:
            return _Refusal()
        return _Connection(
            server,
            first_headers_seconds,
            loop=loop,
            access_log=None,
            keepalive_timeout=_IDLE_SECONDS,
        )

    return connect


class _Connection(web.RequestHandler):
    """aiohttp's, but what it cannot read is answered as every error of ours, and what never becomes a request ends.

    Args:
        server: Knows the connections and what answers on them.
        first_headers_seconds: In which the first request's headers must have arrived. A later request's have what is
            left of the time for which a connection may be idle.
        options: aiohttp's.
    """

    __slots__ = ("_first_headers_seconds", "_hurry")

    def __init__(self, server: web.Server, first_headers_seconds: float, **options: Any) -> None:
        super().__init__(server, **options)
        self._first_headers_seconds = first_headers_seconds
        self._hurry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._hurry = self._loop.call_later(self._first_headers_seconds, self._refuse)

    def data_received(self, data: bytes) -> None:
        """Take bytes; wait no longer once they are a request, or are none that could become one."""
        super().data_received(data)
        if self._hurry is not None and self._request_count:
            self._relax()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait no longer."""
        self._relax()
        super().connection_lost(exc)

    def _relax(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def _refuse(self) -> None:
        self._hurry = None
        if self.transport is not None:
            self.transport.write(_TOO_SLOW)
        self.force_close()

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
