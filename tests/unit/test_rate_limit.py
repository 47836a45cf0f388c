"""How often one caller may ask over HTTP, and that others do not notice when one asks without end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from health.metrics import Metrics
from health.middleware import answer_errors
from health.rate_limit import Buckets, limit_rates
from schemas.access import Access
from schemas.problem import PROBLEM_JSON
from schemas.settings import Web
from schemas.tokens import Scope, Token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

Client = TestClient[web.Request, web.Application]
DORA, ERIC = ("token", "dora"), ("token", "eric")
SECRETS = {"dora": "dora-dora-dora-dora", "eric": "eric-eric-eric-eric"}


def test_a_bucket_holds_a_burst_and_fills_at_its_rate() -> None:
    buckets = Buckets(2, 3)
    assert [buckets.take(DORA, 100.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.5])
    assert buckets.take(DORA, 100.4) == pytest.approx(0.1)
    assert buckets.take(DORA, 100.5) == 0
    assert buckets.take(DORA, 100.5) == pytest.approx(0.5)
    assert [buckets.take(DORA, 200.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.5])


def test_each_has_a_bucket_of_their_own() -> None:
    buckets = Buckets(1, 1)
    assert [buckets.take(caller, 0.0) > 0 for caller in (DORA, DORA, ERIC, ERIC)] == [False, True, False, True]


def test_who_asked_longest_ago_is_forgotten_before_there_are_too_many() -> None:
    buckets = Buckets(1, 1, most=2)
    assert not any(buckets.take(("address", name), 0.0) for name in ("a", "b", "c"))
    assert [buckets.take(("address", name), 0.0) > 0 for name in ("c", "b", "a")] == [True, True, False]


@given(
    per_second=st.floats(0.1, 1_000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 5), max_size=100),
)
def test_nobody_is_ever_given_more_than_the_burst_and_what_has_come_since(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    buckets, now, given_at = Buckets(per_second, burst), 0.0, []
    for pause in pauses:
        now += pause
        if not buckets.take(DORA, now):
            given_at.append(now)
    for first, since in enumerate(given_at):
        for count, until in enumerate(given_at[first:], 1):
            assert count <= burst + (until - since) * per_second + 1e-3


class Clock:
    """Tells the time that it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@pytest.fixture
async def client(clock: Clock, metrics: Metrics) -> AsyncIterator[Client]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    limits = Web(requests_per_second=0.5, burst_requests=2)
    access = Access({name: Token.model_validate({"secret": SECRETS[name], "scopes": [*Scope]}) for name in SECRETS})
    app = web.Application(middlewares=[answer_errors(metrics), limit_rates(limits, access, metrics, monotonic=clock)])
    app.add_routes([web.get(path, answer) for path in ("/", "/health", "/health/live", "/metrics")])
    async with TestClient(TestServer(app)) as client:
        yield client


async def statuses(client: Client, path: str, count: int, secret: str | None = None) -> list[int]:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return [(await client.get(path, headers=headers)).status for _ in range(count)]


async def test_who_asks_too_often_is_told_when_to_come_again(client: Client, clock: Clock, metrics: Metrics) -> None:
    assert await statuses(client, "/", 2) == [200, 200]
    clock.now = 0.5
    refusal = await client.get("/")
    said = await refusal.json(content_type=PROBLEM_JSON)
    assert (refusal.status, refusal.headers["Retry-After"], said["code"]) == (429, "2", "rate_limited")
    assert metrics.registry.get_sample_value("intentstream_requests_limited_total", {"by": "address"}) == 1
    clock.now += float(refusal.headers["Retry-After"])
    assert await statuses(client, "/", 1) == [200]


async def test_whoever_has_a_token_is_known_by_it_and_whoever_has_none_by_their_address(
    client: Client, metrics: Metrics
) -> None:
    assert await statuses(client, "/", 3, SECRETS["dora"]) == [200, 200, 429]
    assert await statuses(client, "/", 3, SECRETS["eric"]) == [200, 200, 429]
    assert await statuses(client, "/", 1, "a-secret-of-nobody") == [200]
    assert await statuses(client, "/", 1, "another-secret-of-nobody") == [200]
    assert await statuses(client, "/", 1) == [429], "who guesses has no more than who has nothing"
    assert metrics.registry.get_sample_value("intentstream_requests_limited_total", {"by": "token"}) == 2


async def test_what_monitoring_asks_is_always_answered_and_what_nobody_serves_is_not(client: Client) -> None:
    for path in ("/health", "/health/live", "/metrics"):
        assert await statuses(client, path, 5) == [200] * 5
    assert await statuses(client, "/health/nowhere", 3) == [404, 404, 429]


async def test_without_a_setting_nobody_is_refused(metrics: Metrics) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[limit_rates(Web(), Access({}), metrics)])
    app.add_routes([web.get("/", answer)])
    async with TestClient(TestServer(app)) as client:
        assert set(await statuses(client, "/", 300)) == {200}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.1", "203.0.113.2", False),
        ("203.0.113.1", "::ffff:203.0.113.1", True),
        ("2001:db8:1:2:3::4", "2001:db8:1:2:5::6", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
async def test_an_address_of_ipv6_counts_with_all_of_its_network(
    metrics: Metrics, one: str, other: str, *, same: bool
) -> None:
    limit = limit_rates(Web(requests_per_second=1, burst_requests=1), Access({}), metrics, monotonic=lambda: 0.0)
    remote = iter((one, other))

    @web.middleware
    async def pretend(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request.clone(remote=next(remote)))

    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[pretend, answer_errors(metrics), limit])
    app.add_routes([web.get("/", answer)])
    async with TestClient(TestServer(app)) as client:
        assert await statuses(client, "/", 2) == [200, 429 if same else 200]
