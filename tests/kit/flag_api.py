"""The flags' HTTP routes without a broker: a log in memory behind them, and a client in front."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer

from flags.api.blocking import BlockingCalls
from flags.api.ofrep import RemoteEvaluation
from flags.api.reading import FlagReading
from flags.api.writing import FlagWriting
from flags.changelog import Fold
from flags.edits import propose
from flags.evaluation import Snapshot
from flags.propagation import Applied
from health.metrics import Metrics
from health.middleware import protect
from schemas import settings
from schemas.access import Access

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from flags.edits import Edit
    from flags.follower import Follower
    from schemas.events import FlagChange
    from schemas.tokens import Token

Client = TestClient[web.Request, web.Application]

FLAGS = "/api/v1/feature-flags"
OFREP = "/ofrep/v1/evaluate/flags"
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


class FlagWorker(FlagLog):
    """Stands in for what a worker has as well: a follower, a writer that may be in the way, and the others.

    Attributes:
        caught_up: Whether the follower has read the log.
        age_seconds: Of what it knows.
        missing: Who does not apply what is written.
        obstacle: What writing raises.
        let_go: Whether writing gets through.
        waited: For which revisions, and how long, somebody waited.
    """

    def __init__(self) -> None:
        super().__init__()
        self.caught_up, self.age_seconds = True, 0.5
        self.missing: tuple[str, ...] = ()
        self.obstacle: Exception | None = None
        self.let_go = threading.Event()
        self.let_go.set()
        self.waited: list[tuple[int, float]] = []

    def write(self, edit: Edit) -> FlagChange:
        """Make a change, unless something is in the way."""
        assert self.let_go.wait(20)
        if self.obstacle is not None:
            raise self.obstacle
        return super().write(edit)

    def read_audit(self) -> Iterator[FlagChange]:
        """Return every change, the oldest first."""
        return iter(self.history)

    def changes_of(self, name: str, *, before: int | None, most: int) -> list[FlagChange] | None:
        """Return a flag's changes, the newest first."""
        found = [change for change in reversed(self.history) if change.name == name]
        return [change for change in found if before is None or change.revision < before][:most] if found else None

    async def wait_applied(self, revision: int, deadline_seconds: float) -> Applied:
        """Return who has applied a change."""
        self.waited.append((revision, deadline_seconds))
        return Applied(workers=2 - len(self.missing), missing=self.missing)

    async def hold(self) -> None:
        """Return: it is certain."""


@asynccontextmanager
async def serving_flags(worker: FlagWorker, tokens: Mapping[str, Token]) -> AsyncIterator[Client]:
    """Serve a worker's flags; one call that reads and one that writes at a time, and one more each that waits."""
    access = Access(tokens)
    reads, writes = (
        BlockingCalls(name, threads=1, waiting=1, deadline_seconds=0.5) for name in ("test-reads", "test-writes")
    )
    reading = FlagReading(
        access=access,
        follower=cast("Follower", worker),
        overrides={"caching": False},
        read_audit=worker.read_audit,
        changes_of=worker.changes_of,
        hold=worker.hold,
        calls=reads,
    )
    writing = FlagWriting(
        access=access,
        write=worker.write,
        snapshot=lambda: worker.snapshot,
        overrides={},
        propagation=worker,
        calls=writes,
    )
    remote = RemoteEvaluation(access=access, snapshot=lambda: worker.snapshot, hold=worker.hold)
    async with serving(reading, writing, remote) as client:
        yield client
    worker.let_go.set()
    reads.close()
    writes.close()


async def patched(client: Client, name: str, **fields: Any) -> Any:
    """Change some fields of a flag; return it as it is then."""
    status, answer = await ask(client, "PATCH", f"{FLAGS}/{name}", fields | WHY)
    assert status == 200, answer
    return answer


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
    if response.status >= 400 and not path.startswith(OFREP):
        assert response.content_type == "application/problem+json"
        assert answer["status"] == response.status
    return response.status, answer
