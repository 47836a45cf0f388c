"""The console's own routes: the page, which anybody may load, and what it shows, which needs `console:read`.

They are the page's and change with it, and so are no part of the contract; what the page changes, it changes through
the routes that everybody has.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs, web

from schemas.tokens import Scope
from streams.console.bundle import debug_bundle
from streams.console.feed import encode_event
from streams.packed_files import PackedFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.evaluation import Snapshot as Flags
    from schemas.access import Access
    from schemas.settings import Settings
    from streams.console.feed import Feed
    from streams.console.sampler import Known, Sampler

PREFIX = "/console"

_WRITE_SECONDS = 10.0
"""Who has not read an event by then is gone, though nobody has told us."""


class ConsoleRoutes:
    """`/` and what is below `/console`.

    Args:
        access: Who may look.
        feed: What is shown.
        sampler: Takes the snapshot of a bundle.
        known: What a worker knows of itself.
        flags: Returns the flags that this worker decides by.
        settings: For the bundle.
    """

    def __init__(
        self,
        *,
        access: Access,
        feed: Feed,
        sampler: Sampler,
        known: Known,
        flags: Callable[[], Flags],
        settings: Settings,
    ) -> None:
        self._access = access
        self._feed = feed
        self._sampler = sampler
        self._known = known
        self._flags = flags
        self._settings = settings
        self._files = PackedFiles(files("streams.console") / "page")

    def mount(self, application: web.Application) -> None:
        """Have an application serve the console, and let its viewers go when it shuts down."""
        application.add_routes(
            [
                web.get("/", self._files.serve_index),
                web.get(f"{PREFIX}/events", self._events),
                web.get(f"{PREFIX}/bundle.json", self._bundle),
                web.get(f"{PREFIX}/{{file}}", self._files.serve),
            ]
        )
        application.on_shutdown.append(self._let_go)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        caller = self._access.admit(request, Scope.CONSOLE_READ)
        with self._feed.view() as events:
            response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream"})
            await response.prepare(request)
            try:
                await response.write(encode_event("hello", caller))
                async for event in events:
                    async with asyncio.timeout(_WRITE_SECONDS):
                        await response.write(event)
            except ConnectionError:
                pass  # they have closed the page
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
            return response

    async def _bundle(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.CONSOLE_READ)
        bundle = debug_bundle(self._known, self._sampler.sample(), self._flags(), self._settings)
        name = f"intentstream-{self._known.worker_id}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.json"
        return web.Response(
            body=msgspec.json.format(msgspec.json.encode(bundle)),
            content_type="application/json",
            headers={hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"'},
        )

    async def _let_go(self, _application: web.Application) -> None:
        await self._feed.close()
