"""Answers are remembered across processes in a real Redis, and its absence costs nothing but the memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis.asyncio
from pydantic import SecretStr

from models.answer import Answer
from models.breaker import BreakerState
from models.cache import AnswerCache, Scope
from models.redis_store import RedisStore
from models.router import route
from schemas.events import Alternative, Attempt, Outcome
from schemas.server_settings import Redis
from schemas.settings import Cache, Chain, Settings
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from infra.embedded.server import EmbeddedServer

pytestmark = pytest.mark.timeout(60)


def scope_of(test: str, *, strategy: Strategy = Strategy.ADAPTIVE) -> Scope:
    """Return a scope that no other test uses."""
    return Scope(release=test, route=route(strategy, distilbert=False, zero_shot=True))


def answer(intent: str | None, *, degraded: bool = False) -> Answer:
    return Answer(
        intent=intent,
        confidence=0.875,
        alternatives=(Alternative(intent=None, confidence=0.1),),
        tier="rules",
        tried=(Attempt(tier="rules", outcome=Outcome.ANSWERED, seconds=0.25),),
        degraded=degraded,
    )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """An observer that counts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.breakers: list[BreakerState] = []

    def tier_called(self, attempt: Attempt, texts: int) -> None:
        raise AssertionError((attempt, texts))

    def tier_answered(self, tier: str, texts: int) -> None:
        raise AssertionError((tier, texts))

    def breaker_changed(self, name: str, state: BreakerState) -> None:
        assert name == "redis"
        self.breakers.append(state)

    def cache_asked(self, level: str, hits: int, misses: int) -> None:
        self.asked.append((level, hits, misses))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def settings(redis_server: EmbeddedServer) -> Settings:
    return Settings(
        redis=Redis(url=SecretStr(redis_server.endpoint)),
        cache=Cache(redis_timeout_seconds=5.0),
        chain=Chain(breaker_failures=1, breaker_open_seconds=5.0),
    )


@pytest.fixture
async def store(settings: Settings, clock: Clock, heard: Heard) -> AsyncIterator[RedisStore]:
    store = RedisStore(settings, clock=clock, observer=heard)
    yield store
    await store.close()


def cache_of(store: RedisStore | None, *, entries: int = 100, heard: Heard | None = None) -> AnswerCache:
    return AnswerCache(entries=entries, store=store, observer=heard)


async def test_an_answer_is_remembered_by_another_process(store: RedisStore) -> None:
    scope = scope_of("another process")
    await cache_of(store).remember(scope, ["hello", "refund"], [answer("greeting"), answer(None)])
    greeting, nothing, refund = await cache_of(store).recall(scope, ["hello", "never said", "refund"])
    assert greeting is not None
    assert (greeting.intent, greeting.confidence, greeting.tier) == ("greeting", 0.875, "rules")
    assert greeting.cached
    assert greeting.alternatives == (Alternative(intent=None, confidence=0.1),)
    assert greeting.tried == answer("greeting").tried
    assert nothing is None
    assert refund is not None
    assert refund.intent is None


async def test_it_is_asked_of_this_process_first(store: RedisStore, heard: Heard) -> None:
    scope, cache = scope_of("first"), cache_of(store, heard=heard)
    await cache.remember(scope, ["hello"], [answer("greeting")])
    await cache.recall(scope, ["hello", "unheard"])
    assert heard.asked == [("local", 1, 1), ("redis", 0, 1)]


@pytest.mark.parametrize(
    "other",
    [
        scope_of("another release"),
        scope_of("scopes", strategy=Strategy.PERFORMANCE),
    ],
)
async def test_another_release_or_strategy_has_its_own_answers(store: RedisStore, other: Scope) -> None:
    cache = cache_of(store)
    await cache.remember(scope_of("scopes"), ["hello"], [answer("greeting")])
    assert await cache.recall(other, ["hello"]) == [None]


async def test_a_degraded_answer_is_not_remembered(store: RedisStore) -> None:
    scope, cache = scope_of("degraded"), cache_of(store)
    await cache.remember(scope, ["hello"], [answer("greeting", degraded=True)])
    assert await cache.recall(scope, ["hello"]) == [None]


async def test_no_key_holds_a_text_and_every_key_expires(store: RedisStore, redis_server: EmbeddedServer) -> None:
    await cache_of(store).remember(scope_of("private"), ["my secret is 42"], [answer("greeting")])
    client = redis.asyncio.Redis.from_url(redis_server.endpoint)
    keys = await client.keys("*")
    assert keys
    assert not any(b"secret" in key for key in keys)
    assert all([await client.ttl(key) > 0 for key in keys])
    assert not any("secret" in str(value) for value in await client.mget(keys))
    await client.aclose()


async def test_a_value_that_is_no_answer_is_a_miss(store: RedisStore, redis_server: EmbeddedServer) -> None:
    scope = scope_of("damaged")
    client = redis.asyncio.Redis.from_url(redis_server.endpoint)
    before = set(await client.keys("*"))
    await cache_of(store).remember(scope, ["hello"], [answer("greeting")])
    [key] = set(await client.keys("*")) - before
    await client.set(key, b"\xc1 no message pack")
    assert await cache_of(store).recall(scope, ["hello"]) == [None]
    await client.aclose()


async def test_this_process_forgets_the_least_recently_used(heard: Heard) -> None:
    scope, cache = scope_of("small"), cache_of(None, entries=2, heard=heard)
    await cache.remember(scope, ["a", "b"], [answer("greeting")] * 2)
    await cache.recall(scope, ["a"])
    await cache.remember(scope, ["c"], [answer("greeting")])
    assert [found is not None for found in await cache.recall(scope, ["a", "b", "c"])] == [True, False, True]


async def test_with_no_room_in_this_process_redis_remembers(store: RedisStore) -> None:
    scope, cache = scope_of("no room"), cache_of(store, entries=0)
    await cache.remember(scope, ["hello"], [answer("greeting")])
    [found] = await cache.recall(scope, ["hello"])
    assert found is not None


async def test_redis_stopped_mid_stream_is_not_asked_again_until_it_may_be_back(
    store: RedisStore, redis_server: EmbeddedServer, clock: Clock, heard: Heard
) -> None:
    scope, cache = scope_of("stopped"), cache_of(store)
    await cache.remember(scope, ["before"], [answer("greeting")])
    redis_server.stop()
    try:
        await cache.remember(scope, ["meanwhile"], [answer("greeting")])
        assert store.breaker is BreakerState.OPEN
        [meanwhile, unheard] = await cache.recall(scope, ["meanwhile", "unheard"])
        assert meanwhile is not None
        assert unheard is None
    finally:
        redis_server.start()

    await cache.remember(scope, ["too early"], [answer("greeting")])
    clock.now = 5.0
    await cache.remember(scope, ["after"], [answer("greeting")])
    early, after = await cache_of(store).recall(scope, ["too early", "after"])
    assert early is None
    assert after is not None
    assert heard.breakers == [BreakerState.OPEN, BreakerState.CLOSED]


async def test_a_redis_that_hangs_is_given_up_at_its_deadline(
    settings: Settings, redis_server: EmbeddedServer, clock: Clock
) -> None:
    hasty = settings.model_copy(update={"cache": Cache(redis_timeout_seconds=0.02)})
    store = RedisStore(hasty, clock=clock)
    scope, cache = scope_of("hangs"), cache_of(store)
    redis_server.suspend()
    try:
        async with asyncio.timeout(5):
            assert await cache.recall(scope, ["hello"]) == [None]
        assert store.breaker is BreakerState.OPEN
    finally:
        redis_server.resume()
        await store.close()
