"""The addresses of the probes and of the metrics, for whichever aiohttp application a worker serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from health import probes
from health.model_probe import models
from health.report import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.typedefs import Handler

    from health.checks import CheckResult
    from health.metrics import Metrics
    from health.model_probe import ModelsState
    from health.report import Report


def health_routes(
    *,
    version: str,
    metrics: Metrics,
    worker_state: Callable[[], probes.WorkerState],
    models_state: Callable[[], ModelsState],
    dependencies: Callable[[], Mapping[str, CheckResult]],
) -> list[web.RouteDef]:
    """Return `/health`, what stands below it, and `/metrics`.

    Args:
        version: Of intentstream.
        metrics: What `/metrics` shows; its `ready` follows the readiness probe from now on.
        worker_state: What the worker knows about itself; must not wait.
        models_state: What it knows about its tiers; must not wait.
        dependencies: The last answers of the dependencies; must not wait.
    """
    metrics.ready.set_function(lambda: probes.ready(worker_state()).passes)

    async def expose(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    answers: dict[str, Callable[[], Report]] = {
        "/health": lambda: probes.overall(worker_state(), dependencies(), version=version),
        "/health/live": probes.live,
        "/health/ready": lambda: probes.ready(worker_state()),
        "/health/startup": lambda: probes.startup(worker_state()),
        "/health/models": lambda: models(models_state()),
        "/health/dependencies": lambda: probes.dependencies(dependencies()),
        "/health/flags": lambda: probes.flags(worker_state().flags),
    }
    return [*(web.get(path, _probe(answer)) for path, answer in answers.items()), web.get("/metrics", expose)]


def _probe(answer: Callable[[], Report]) -> Handler:
    async def probe(_request: web.Request) -> web.StreamResponse:
        report = answer()
        return web.Response(status=report.http_status, body=msgspec.json.encode(report.body), content_type=CONTENT_TYPE)

    return probe
