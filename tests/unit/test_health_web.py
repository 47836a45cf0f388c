"""What a caller sees of a worker's web: probes, metrics, and errors that say no more than they should."""

from __future__ import annotations

import asyncio
import http
import socket
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from health.metrics import Metrics
from health.middleware import protect
from health.model_probe import ModelsState, RouterState, TierState
from health.probes import WorkerState
from health.routes import health_routes
from schemas.errors import InvalidEventError, UnavailableError
from schemas.settings import Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from health.checks import CheckResult

Client = TestClient[web.Request, web.Application]
WORDS = "planted words of a user"


class Worker:
    def __init__(self) -> None:
        self.state = WorkerState(broker_reachable=True, assigned=True, tiers={"rules": True})
        router = RouterState(
            strategy="adaptive",
            order=("rules",),
            brown_out=False,
            mix={"rules": 1.0},
            window_seconds=300.0,
            sure={"rules": 0.0},
            out_of_scope={"rules": 1.0},
        )
        self.models = ModelsState(release="r1", tiers={"rules": TierState(wanted=True, missing=None)}, router=router)
        self.dependencies: dict[str, CheckResult] = {}
        self.metrics = Metrics("1.2.3")

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    app = web.Application()
    protect(app, worker.metrics, Web())
    app.add_routes(
        health_routes(
            version="1.2.3",
            metrics=worker.metrics,
            worker_state=lambda: worker.state,
            models_state=lambda: worker.models,
            dependencies=lambda: worker.dependencies,
        )
    )

    async def item(request: web.Request) -> web.Response:
        errors: dict[str, Exception] = {
            "away": UnavailableError("The broker is away."),
            "wrong": InvalidEventError("no_text", "$.text is missing."),
            "bug": ValueError(WORDS),
        }
        raise errors[request.match_info["name"]]

    app.add_routes([web.get("/items/{name}", item)])
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_probes_answer_health_json(client: Client) -> None:
    for part in ("", "/live", "/ready", "/startup", "/models", "/dependencies", "/flags"):
        path = f"/health{part}"
        response = await client.get(path)
        assert response.status == http.HTTPStatus.OK
        assert response.content_type == "application/health+json"
        assert (await response.json(content_type=None))["status"] == "pass"


async def test_liveness_outlives_readiness(client: Client, worker: Worker) -> None:
    worker.state = msgspec.structs.replace(worker.state, broker_reachable=False)
    assert [(await client.get(path)).status for path in ("/health/live", "/health/ready", "/health")] == [200, 503, 503]


async def test_the_ready_gauge_follows_the_probe(client: Client, worker: Worker) -> None:
    assert "intentstream_worker_ready 1.0" in await (await client.get("/metrics")).text()
    worker.state = msgspec.structs.replace(worker.state, assigned=False)
    assert "intentstream_worker_ready 0.0" in await (await client.get("/metrics")).text()


@pytest.mark.parametrize(
    ("path", "status", "code", "detail"),
    [
        ("/items/away", 503, "unavailable", "The broker is away."),
        ("/items/wrong", 400, "no_text", "$.text is missing."),
        ("/nowhere", 404, "not_found", "Not Found."),
    ],
)
async def test_errors_are_answered_as_problem_details(
    client: Client, path: str, status: int, code: str, detail: str
) -> None:
    response = await client.get(path)
    said = await response.json(content_type="application/problem+json")
    assert (response.status, said["status"], said["code"], said["detail"]) == (status, status, code, detail)
    assert said["title"] == http.HTTPStatus(status).phrase


async def test_a_wrong_method_is_told_the_right_ones(client: Client) -> None:
    response = await client.post("/health")
    assert response.status == http.HTTPStatus.METHOD_NOT_ALLOWED
    assert response.headers["Allow"] == "GET,HEAD"


async def test_a_bug_is_an_incident_for_the_caller_and_a_log_line_for_us(client: Client, worker: Worker) -> None:
    with capture_logs() as logged:
        response = await client.get("/items/bug")
    body = await response.json(content_type=None)
    assert (response.status, body["code"]) == (500, "internal")
    (line,) = logged
    assert (line["event"], line["error"], line["route"]) == (
        "request_failed",
        "builtins.ValueError",
        "/items/{name}",
    )
    assert str(line["incident"]) in body["detail"]
    assert WORDS not in str(body)
    assert WORDS not in str(line)
    assert worker.sample("intentstream_unexpected_errors_total", guard="http") == 1


async def test_requests_are_counted_by_route_and_never_by_path(client: Client, worker: Worker) -> None:
    for path in ("/items/away", "/items/wrong", "/nowhere/1", "/nowhere/2"):
        await client.get(path)
    assert worker.sample("http_requests_total", method="GET", route="/items/{name}", status="503") == 1
    assert worker.sample("http_requests_total", method="GET", route="/items/{name}", status="400") == 1
    assert worker.sample("http_requests_total", method="GET", route="unmatched", status="404") == 2
    assert worker.sample("http_request_duration_seconds_count", method="GET", route="/items/{name}") == 2
    assert worker.sample("http_requests_active") == 0


async def test_a_method_that_nobody_serves_becomes_no_label(client: Client, worker: Worker) -> None:
    await client.request("PROPFIND", "/health")
    assert worker.sample("http_requests_total", method="other", route="unmatched", status="405") == 1


async def test_every_answer_forbids_what_it_does_not_need(client: Client) -> None:
    for path in ("/health", "/nowhere", "/items/bug"):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] == "intentstream"


async def test_a_caller_who_leaves_is_counted_too(worker: Worker) -> None:
    app = web.Application()
    protect(app, worker.metrics, Web())
    arrived, left = asyncio.Event(), asyncio.Event()

    async def wait(_request: web.Request) -> web.Response:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return web.Response()

    app.add_routes([web.get("/wait", wait)])
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    site = web.SockSite(runner, listener)
    await site.start()
    try:
        async with aiohttp.ClientSession() as session:
            request = asyncio.create_task(session.get(f"http://127.0.0.1:{listener.getsockname()[1]}/wait"))
            await asyncio.wait_for(arrived.wait(), 10)
            request.cancel()
            await asyncio.wait({request})
        await asyncio.wait_for(left.wait(), 10)
        assert worker.sample("http_requests_total", method="GET", route="/wait", status="499") == 1
    finally:
        await runner.cleanup()
