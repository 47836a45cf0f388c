"""Bodies of requests, read before any route is asked: none is larger, or comes more slowly, than the settings say.

A route reads what is there already, `await request.read()`, and need not think of limits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from schemas.settings import Web


def bound_bodies(settings: Web) -> Middleware:
    """Read each request's body within the settings' limits."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.can_read_body and request.match_info.http_exception is None:
            await _read(request, settings)
        return await handler(request)

    return middleware


async def _read(request: web.Request, settings: Web) -> None:
    """Have a request keep its body.

    Raises:
        HTTPException: It is too large, does not come in time, or cannot be read.
    """
    if request.content_length is not None and request.content_length > settings.max_request_bytes:
        # Said before it is sent; of one that does not tell its length, aiohttp reads no more than the limit.
        raise web.HTTPRequestEntityTooLarge(settings.max_request_bytes, request.content_length)
    try:
        async with asyncio.timeout(settings.max_request_seconds):
            await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest from error
