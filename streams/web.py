"""The HTTP server of a worker, as a service that starts before everything else: probes must answer while we wait."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from mode import Service

from schemas.errors import UnavailableError

if TYPE_CHECKING:
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
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._settings = settings

    async def on_start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: The port is taken.
        """
        host, port = self._settings.host, self._settings.port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno != errno.EADDRINUSE:
                raise UnavailableError(f"{host}:{port} cannot be listened on: {error.strerror}.") from error
            raise UnavailableError(
                f"Port {port} on {host} is in use; end what uses it, or set INTENTSTREAM_WEB__PORT."
            ) from error
        _log.info("web_listening", addresses=[f"{name[0]}:{name[1]}" for name in self._runner.addresses])

    async def on_stop(self) -> None:
        """Answer what was asked, then close."""
        await self._runner.cleanup()
