"""An HTTP server that answers as it is told: for answers that no real model server can be brought to give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedServer:
    """Answers each path by its script, and any other with 404. Entering starts it."""

    def __init__(self) -> None:
        self.scripts: dict[str, Answering] = {}
        self.requests: list[tuple[str, Any]] = []
        self.headers: dict[str, str] = {}
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(application)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def asked(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(asked == path for asked, _ in self.requests)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.path, json.loads(body) if body else None))
        self.headers = dict(request.headers)
        script = self.scripts.get(request.path)
        return await script(request) if script else web.Response(status=404)


def says(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Answering:
    """Answer with a body: bytes as they are, all else as JSON."""

    async def answer(_: web.Request) -> web.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=content, status=status, headers=headers)

    return answer


def in_turn(*answers: Answering) -> Answering:
    """Answer with one after another; the last stays."""
    left = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


async def cut_short(request: web.Request) -> web.StreamResponse:
    """Answer less than was promised, and hang up."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport
    request.transport.close()
    return response
