"""The console without a broker: what a worker knows of itself, made up, and a client that looks."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer

from flags.evaluation import Snapshot as Flags
from health.checks import CheckResult, Status
from health.metrics import Metrics
from health.middleware import protect
from health.probes import FlagsState, WorkerState
from models.breaker import BreakerState
from schemas.access import Access
from schemas.events import Attempt, Outcome, Presence, Result, Source, Timings
from streams.console.feed import Feed
from streams.console.routes import ConsoleRoutes
from streams.console.sampler import Known, Sampler
from streams.observer import StreamObserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from schemas.settings import Settings

Client = TestClient[web.Request, web.Application]

SINCE = dt.datetime(2026, 7, 1, 12, 3, tzinfo=dt.UTC)


class Watched:
    """Stands in for a worker.

    Attributes:
        now: Seconds, of both clocks.
        state: What the probes ask.
        dependencies: As they answered last.
        missing: Why a tier has no model, by tier.
        breakers: By tier.
    """

    def __init__(self) -> None:
        self.now = 1_000.0
        self.metrics = Metrics("1.2.3")
        self.observer = StreamObserver(self.metrics)
        self.observer.joined = True
        self.state = WorkerState(
            broker_reachable=True,
            assigned=True,
            tiers={"rules": True, "zero_shot": True},
            release="r1",
            flags=FlagsState(revision=7, age_seconds=0.5),
        )
        self.dependencies = {"kafka": CheckResult(status=Status.PASS, since=SINCE)}
        self.missing: dict[str, str | None] = {
            "rules": None,
            "zero_shot": None,
            "distilbert": "no release is installed",
        }
        self.breakers = dict.fromkeys(self.missing, BreakerState.CLOSED)
        self.known = Known(
            version="1.2.3",
            worker_id="worker-1",
            metrics=self.metrics,
            observer=self.observer,
            state=lambda: self.state,
            dependencies=lambda: self.dependencies,
            classifier=self._classifier,
            workers=lambda: {"worker-1": Presence(worker_id="worker-1", started_at="", seen_at="")},
        )
        self.sampler = Sampler(self.known, monotonic=lambda: self.now, clock=lambda: self.now)

    def _classifier(self) -> Any:
        tiers = {name: SimpleNamespace(missing=missing) for name, missing in self.missing.items()}
        return SimpleNamespace(tiers=tiers, breakers=self.breakers)

    def answer(self, *results: Result) -> None:
        """Answer a batch."""
        self.observer.answered(results)


def result_of(**fields: Any) -> Result:
    """Return a result whose identifiers are what callers gave."""
    whole: dict[str, Any] = {
        "id": "topic/3/41",
        "utterance_id": "u",
        "intent": "order_status",
        "confidence": 0.9,
        "tier": "rules",
        "tried": (Attempt(tier="rules", outcome=Outcome.ANSWERED),),
        "strategy": "adaptive",
        "release": "r1",
        "source": Source(topic="intents.utterances.v1", partition=3, offset=41),
        "timings": Timings(queue_seconds=0.01, classify_seconds=0.02),
    }
    return Result(**(whole | fields))


class _Server(TestServer):
    """As a worker's server is: whoever goes away is missed at the next word to them, and not before."""

    async def _make_runner(self, **options: Any) -> web.BaseRunner:
        return await super()._make_runner(**(options | {"handler_cancellation": False}))


@asynccontextmanager
async def serving_console(watched: Watched, settings: Settings) -> AsyncIterator[tuple[Client, Feed]]:
    """Serve a worker's console as a worker does, a snapshot every 10 ms."""
    feed = Feed(watched.sampler, watched.observer, max_viewers=settings.web.max_consoles, every_seconds=0.01)
    app = web.Application()
    protect(app, watched.metrics, settings.web)
    ConsoleRoutes(
        access=Access(settings.access.tokens),
        feed=feed,
        sampler=watched.sampler,
        known=watched.known,
        flags=Flags,
        settings=settings,
    ).mount(app)
    async with TestClient(_Server(app), timeout=ClientTimeout(20)) as client:
        yield client, feed


async def events_of(client: Client, count: int, **headers: str) -> list[tuple[str, Any]]:
    """Look until so many events have come; return each one's name and content, and go."""
    events: list[tuple[str, Any]] = []
    async with client.get("/console/events", headers=headers) as response:
        assert response.status == 200
        while len(events) < count:
            name = (await response.content.readline()).decode().removeprefix("event: ").strip()
            events.append((name, json.loads((await response.content.readline())[len("data: ") :])))
            await response.content.readline()
    return events
