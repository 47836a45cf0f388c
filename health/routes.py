"""The addresses of the probes and of the metrics, for whichever aiohttp application a worker serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from health import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from health.checks import CheckResult
    from health.metrics import Metrics


def health_routes(
    *,
    version: str,
    metrics: Metrics,
    worker_state: Callable[[], probes.WorkerState],
    dependencies: Callable[[], Mapping[str, CheckResult]],
) -> list[web.RouteDef]:
    """Return `/health`, `/health/live`, `/health/ready` and `/metrics`.

    Args:
        version: Of intentstream.
        metrics: What `/metrics` shows; its `ready` follows the readiness probe from now on.
        worker_state: What the worker knows about itself; must not wait.
        dependencies: The last answers of the dependencies; must not wait.
    """
    metrics.ready.set_function(lambda: probes.ready(worker_state()).passes)

    async def overall(_request: web.Request) -> web.Response:
        return _answer(probes.overall(worker_state(), dependencies(), version=version))

    async def live(_request: web.Request) -> web.Response:
        return _answer(probes.live())

    async def ready(_request: web.Request) -> web.Response:
        return _answer(probes.ready(worker_state()))

    async def expose(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [
        web.get("/health", overall),
        web.get("/health/live", live),
        web.get("/health/ready", ready),
        web.get("/metrics", expose),
    ]


def _answer(report: probes.Report) -> web.Response:
    body = msgspec.json.encode(report.body)
    return web.Response(status=report.http_status, body=body, content_type=probes.CONTENT_TYPE)
