"""A collector of spans: OTLP over HTTP, as OpenTelemetry's own would take it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from infra.embedded.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What came.

    Args:
        port: Where it listens.

    Attributes:
        url: Of it.
        requests: Their bodies.
        services: The attributes of who sent them, one of each request.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self.requests: list[bytes] = []
        self.services: list[dict[str, str]] = []
        self._spans: list[Span] = []

    def spans(self, name: str = "") -> list[Span]:
        """Return those whose names begin so, in the order in which they came."""
        return [span for span in list(self._spans) if span.name.startswith(name)]

    async def take(self, request: web.Request) -> web.Response:
        """Take some spans."""
        body = await request.read()
        said = ExportTraceServiceRequest.FromString(body)
        for each in said.resource_spans:
            self.services.append({pair.key: pair.value.string_value for pair in each.resource.attributes})
            self._spans += [span for scope in each.scope_spans for span in scope.spans]
        self.requests.append(body)
        return web.Response(content_type="application/x-protobuf")


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Run one on a thread of its own."""
    port = free_port()
    collector = Collector(port)
    loop, listening = asyncio.new_event_loop(), threading.Event()

    async def serve() -> web.AppRunner:
        application = web.Application()
        application.add_routes([web.post("/v1/traces", collector.take)])
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, port).start()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(serve())
        listening.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, name="collector")
    thread.start()
    try:
        assert listening.wait(30)
        yield collector
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
