"""The HTTP server of a worker, as a service that starts before everything else: probes must answer while we wait."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from mode import Service

from schemas.errors import UnavailableError
from streams.connections import connector

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.settings import Web as WebSettings

_log = structlog.get_logger(__name__)

_SHUTDOWN_SECONDS = 2.0


class WebServer(Service):
    """Serves one aiohttp application.

    Args:
        application: What answers.
        settings: Where to listen.
    """

    def __init__(self, application: web.Application, settings: WebSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._runner = web.AppRunner(application, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._settings = settings
        self._listener: asyncio.Server | None = None

    @property
    def addresses(self) -> list[tuple[Any, ...]]:
        """Return where it listens, as sockets name it."""
        return [listening.getsockname() for listening in self._listener.sockets] if self._listener else []

    async def on_start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: The port is taken.
        """
        host, port = self._settings.host, self._settings.port
        await self._runner.setup()
        try:
            self._listener = await asyncio.get_running_loop().create_server(self._connector(), host, port)
        except OSError as error:
            await self._runner.cleanup()
            if error.errno != errno.EADDRINUSE:
                raise UnavailableError(f"{host}:{port} cannot be listened on: {error.strerror}.") from error
            raise UnavailableError(
                f"Port {port} on {host} is in use; end what uses it, or set INTENTSTREAM_WEB__PORT."
            ) from error
        _log.info("web_listening", addresses=[f"{name[0]}:{name[1]}" for name in self.addresses])

    async def on_stop(self) -> None:
        """Answer what was asked, then close."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _connector(self) -> Callable[[], asyncio.Protocol]:
        if self._runner.server is None:
            raise UnavailableError("The web server is stopping.")
        return connector(
            self._runner.server,
            max_connections=self._settings.max_connections,
            first_headers_seconds=self._settings.max_request_seconds,
        )
