"""The flags' HTTP routes without a broker: a log in memory behind them, and a client in front."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer

from flags.changelog import Fold
from flags.edits import propose
from flags.evaluation import Snapshot
from health.metrics import Metrics
from health.middleware import protect
from schemas import settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flags.edits import Edit
    from schemas.events import FlagChange

Client = TestClient[web.Request, web.Application]

WHY = {"reason": "a test", "changed_by": "ada"}
SECRET = "wanda-wanda-wanda-wanda"  # noqa: S105 - opens nothing


class Routed(Protocol):
    """What has routes."""

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""


class FlagLog:
    """Stands in for the changelog and the audit. Revision n is written on the n-th day of 2026.

    Attributes:
        history: Every change, the oldest first.
        snapshot: The flags as they are.
    """

    def __init__(self) -> None:
        self.fold = Fold()
        self.history: list[FlagChange] = []
        self.snapshot = Snapshot()

    def read(self) -> Fold:
        """Return all that was written."""
        return self.fold

    def write(self, edit: Edit) -> FlagChange:
        """Make a change, as a writer would."""
        revision = len(self.history) + 1
        moment = f"2026-01-{revision:02}T00:00:00.000000Z"
        change = propose(edit, self.fold, revision=revision, changed_at=moment)
        assert self.fold.apply(change.name.encode(), msgspec.json.encode(change), revision) is None
        assert self.fold.settle() == []
        self.history.append(change)
        self.snapshot = Snapshot(None, revision, changes=self.fold.changes)
        return change


@asynccontextmanager
async def serving(*routed: Routed) -> AsyncIterator[Client]:
    """Serve routes as a worker does, and close after."""
    app = web.Application()
    protect(app, Metrics("1.2.3"), settings.Web())
    for each in routed:
        app.add_routes(each.routes())
    async with TestClient(TestServer(app), timeout=ClientTimeout(10)) as client:
        yield client


async def ask(client: Client, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Return an answer's status and what it says; what is refused is refused as RFC 9457 has it."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.request(method, path, json=body, headers=names)
    answer = await response.json(content_type=None)
    if response.status >= 400:
        assert response.content_type == "application/problem+json"
        assert answer["status"] == response.status
    return response.status, answer
