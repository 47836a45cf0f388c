"""What callers of the HTTP route that classifies are answered, whatever they send."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from health.metrics import Metrics
from health.middleware import protect
from models.answer import Answer
from schemas import settings
from schemas.problem import PROBLEM_JSON
from streams.api import ClassifyRoute
from streams.batcher import Batcher
from streams.observer import StreamObserver
from streams.results import Decision
from streams.reviews import Reviews
from tests.kit.outbox import Outbox
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from schemas.cloudevents import Received
    from streams.publisher import Publisher

Client = TestClient[web.Request, web.Application]
PATH = "/api/v1/intents/classify"
JSON = {"Content-Type": "application/json"}
WORDS = "planted words of a user"
GOOD = msgspec.json.encode({"text": WORDS})


class Decider:
    async def decide(self, utterances: Sequence[Received]) -> list[Decision]:
        answer = Answer(intent="greeting", confidence=1.0, alternatives=(), tier="rules", tried=(), degraded=False)
        return [Decision(answer, "adaptive", "release", 0) for _ in utterances]


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@pytest.fixture
async def client(outbox: Outbox, metrics: Metrics) -> AsyncIterator[Client]:
    limits = settings.Web(max_request_bytes=2_048, max_request_seconds=0.2)
    app = web.Application(client_max_size=limits.max_request_bytes)
    protect(app, metrics, limits)
    observer = StreamObserver(metrics)
    route = ClassifyRoute(
        batcher=Batcher(Decider(), max_waiting=10),
        publisher=cast("Publisher", outbox),
        settings=settings.Intake(),
        reviews=Reviews(settings.Review(sample_share=0), 0.5, observer),
        observer=observer,
        broker_reachable=lambda: True,
    )
    app.add_routes(route.routes())
    async with TestClient(TestServer(app), timeout=ClientTimeout(10)) as client:
        yield client


async def _refusal(client: Client, body: Any, headers: dict[str, str]) -> tuple[int, str]:
    with capture_logs() as logged:
        response = await client.post(PATH, data=body, headers=headers)
        answer = await response.json(content_type=PROBLEM_JSON)
    assert logged == []
    assert WORDS not in str(answer)
    return response.status, answer["code"]


async def test_an_utterance_is_answered_and_published(client: Client, outbox: Outbox) -> None:
    response = await client.post(PATH, data=GOOD, headers=JSON)
    body = await response.json()
    assert (response.status, body["result"]["intent"], body["published"]) == (200, "greeting", True)
    assert [record.topic for record in outbox.published] == ["intents.results.v1"]


async def test_the_longest_id_has_a_result_whose_id_is_no_longer(client: Client) -> None:
    said = {"text": WORDS, "id": "i" * 512}
    results = [(await (await client.post(PATH, json=said)).json())["result"] for _ in range(2)]
    assert len(results[0]["id"]) <= 512
    assert results[0]["id"] == results[1]["id"]


async def test_an_utterance_is_answered_although_it_cannot_be_published(client: Client, outbox: Outbox) -> None:
    outbox.broken = True
    body = await (await client.post(PATH, data=GOOD, headers=JSON)).json()
    assert body["result"]["intent"] == "greeting"
    assert (body["published"], body["not_published_because"]) == (False, "The broker did not take it.")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param(b'{"text": "' + WORDS.encode(), JSON, 400, "not_json", id="cut off"),
        pytest.param(GOOD, {"Content-Type": "text/plain"}, 400, "unknown_content_type", id="another type"),
        pytest.param(GOOD * 100, JSON, 413, "request_entity_too_large", id="too large"),
        pytest.param(GOOD, JSON | {"Content-Encoding": "gzip"}, 400, "bad_request", id="not compressed, as it says"),
        pytest.param(
            gzip.compress(b" " * 100_000 + GOOD),
            JSON | {"Content-Encoding": "gzip"},
            413,
            "request_entity_too_large",
            id="too large once decompressed",
        ),
    ],
)
async def test_what_is_no_request_is_refused_with_a_reason(
    client: Client, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    assert await _refusal(client, body, headers) == (status, code)


async def test_another_sites_page_gets_nothing_classified_or_published(client: Client, outbox: Outbox) -> None:
    """Such a page may send a body without any content type, and is asked by nobody before."""
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert await _refusal(client, GOOD, headers) == (403, "forbidden")
    assert outbox.published == []


async def test_a_header_that_is_not_utf8_is_refused_as_a_records_would_be(client: Client) -> None:
    request = b"POST %s HTTP/1.1\r\nHost: here\r\nContent-Type: \xff\r\nContent-Length: 2\r\n\r\n{}" % PATH.encode()
    assert await _status_of_raw(client, request) == 400


async def test_a_length_over_the_limit_is_refused_before_it_is_sent(client: Client) -> None:
    request = b"POST %s HTTP/1.1\r\nHost: here\r\nContent-Length: 100000000\r\n\r\n" % PATH.encode()
    assert await _status_of_raw(client, request) == 413


async def _status_of_raw(client: Client, request: bytes) -> int:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(request)
        return int((await asyncio.wait_for(reader.readline(), 10)).split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_does_not_come_in_time_is_no_longer_waited_for(client: Client) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b'{"text": '
        await asyncio.Event().wait()

    assert await _refusal(client, trickle(), JSON) == (408, "request_timeout")


async def test_a_caller_who_leaves_while_sending_is_no_fault_of_ours(client: Client, metrics: Metrics) -> None:
    def sample(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    with capture_logs() as logged:
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{{".encode())
        await asyncio.to_thread(wait_until, lambda: sample("http_requests_active") == 1, "the request arrives")
        writer.close()
        await writer.wait_closed()
        await asyncio.to_thread(wait_until, lambda: sample("http_requests_active") == 0, "its end is noticed")
    assert logged == []
    assert sample("http_requests_total", method="POST", route=PATH, status="499") == 1
    assert sample("intentstream_unexpected_errors_total", guard="http") in {None, 0}
