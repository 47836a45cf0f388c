"""What the console serves: the page, a live picture of the worker, and a bundle; to whom, how many, and no text."""

from __future__ import annotations

import asyncio
import json
import re
from importlib.resources import files as package_files
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from schemas.events import Attempt, Outcome
from schemas.server_settings import Kafka
from schemas.settings import Access, Settings, Web
from schemas.tokens import Scope, Token
from streams.packed_files import PackedFiles
from tests.kit.console import Watched, events_of, result_of, serving_console

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streams.console.feed import Feed
    from tests.kit.console import Client

WORDS = "planted-words-of-a-user"
SECRET = "connie-connie-connie"  # noqa: S105 - opens nothing
READER = Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.CONSOLE_READ}))
STRANGER = Token(secret=SecretStr(f"{SECRET}-else"), scopes=frozenset({Scope.FLAGS_READ}))

MOST_PAGE_BYTES = 100_000


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
async def served(watched: Watched) -> AsyncIterator[tuple[Client, Feed]]:
    async with serving_console(watched, Settings(web=Web(max_consoles=2))) as served:
        yield served


@pytest.fixture
def client(served: tuple[Client, Feed]) -> Client:
    return served[0]


@pytest.fixture
def feed(served: tuple[Client, Feed]) -> Feed:
    return served[1]


# The page


async def test_the_page_may_load_its_own_files_and_nothing_else(client: Client) -> None:
    response = await client.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert response.content_type == "text/html"
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert (response.headers["X-Content-Type-Options"], response.headers["Referrer-Policy"]) == (
        "nosniff",
        "no-referrer",
    )


async def test_a_file_that_the_browser_has_is_not_sent_again(client: Client) -> None:
    first = await client.get("/console/main.js")
    assert first.content_type == "text/javascript"
    again = await client.get("/console/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    assert not first.headers["ETag"].startswith("W/")
    assert (await client.get("/console/main.js", headers={"If-None-Match": '"another"'})).status == 200


@pytest.mark.parametrize("path", ["nothing.js", "..%2Froutes.py", "__init__.py"])
async def test_nothing_but_the_pages_files_is_served(client: Client, path: str) -> None:
    assert (await client.get(f"/console/{path}")).status == 404


def test_all_of_the_page_is_small_and_asks_nobody_else() -> None:
    files = PackedFiles(package_files("streams.console") / "page")
    assert sum(len(file.content) for file in files.values()) <= MOST_PAGE_BYTES
    for name, file in files.items():
        addresses = set(re.findall(r"https?://[^\s\"'`]+", file.content.decode())) - {"http://www.w3.org/2000/svg"}
        assert not addresses, name


def test_every_file_that_the_page_names_is_there() -> None:
    files = PackedFiles(package_files("streams.console") / "page")
    named = {name for file in files.values() for name in re.findall(r"/console/([\w.]+\.\w+)", file.content.decode())}
    imported = {name for file in files.values() for name in re.findall(r'from "\./([\w.]+)"', file.content.decode())}
    assert (named - {"bundle.json"}) | imported <= files.keys()
    assert files.keys() - {"index.html"} == (named - {"bundle.json"}) | imported, "nothing is there for nobody"


# What it shows


async def test_who_looks_is_shown_the_worker_again_and_again(client: Client, watched: Watched) -> None:
    watched.answer(result_of())
    events = await events_of(client, 4)
    assert [name for name, _ in events] == ["hello", "history", "snapshot", "snapshot"]
    snapshot = events[2][1]
    assert (snapshot["worker_id"], snapshot["release"], snapshot["ready"]) == ("worker-1", "r1", True)
    assert [tier["name"] for tier in snapshot["tiers"]] == ["rules", "zero_shot", "distilbert"]
    assert [(result["place"], result["intent"]) for result in snapshot["recent"]] == [("3/41", "order_status")]


async def test_no_more_look_at_once_than_may(client: Client, feed: Feed) -> None:
    async with client.get("/console/events"), client.get("/console/events"):
        assert feed.viewers == 2
        refused = await client.get("/console/events")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert "2 consoles" in (await refused.json(content_type=None))["detail"]
    await _until(lambda: feed.viewers == 0)
    assert len(await events_of(client, 3)) == 3, "there is room again"


async def test_nothing_is_sampled_while_nobody_looks(client: Client, feed: Feed, watched: Watched) -> None:
    await events_of(client, 5)
    await _until(lambda: feed.viewers == 0)
    taken = len(watched.sampler.history)
    assert taken >= 3
    await asyncio.sleep(0)
    for _ in range(10):
        await client.get("/")
    assert len(watched.sampler.history) == taken


async def test_whoever_looks_is_let_go_when_the_worker_stops(client: Client, feed: Feed) -> None:
    async with client.get("/console/events") as response:
        await response.content.readline()
        await feed.close()
        async with asyncio.timeout(10):
            await response.content.read()
    assert (await client.get("/console/events")).status == 503


async def test_a_fault_of_the_console_is_counted_and_it_goes_on(
    client: Client, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = watched.sampler.sample
    faults = iter([RuntimeError("broken")])

    def fail_once() -> object:
        for fault in faults:
            raise fault
        return sample()

    monkeypatch.setattr(watched.sampler, "sample", fail_once)
    assert [name for name, _ in await events_of(client, 3)] == ["hello", "history", "snapshot"]
    assert watched.metrics.registry.get_sample_value("intentstream_unexpected_errors_total", {"guard": "console"}) == 1


async def test_a_console_left_open_is_no_slow_request(client: Client, feed: Feed, watched: Watched) -> None:
    await events_of(client, 3)
    await _until(lambda: feed.viewers == 0)
    route = {"method": "GET", "route": "/console/events"}
    await _until(
        lambda: watched.metrics.registry.get_sample_value("http_requests_total", route | {"status": "200"}) == 1
    )
    assert watched.metrics.registry.get_sample_value("http_request_duration_seconds_count", route) is None


# Who may look


async def test_with_tokens_only_who_may_is_shown_anything(watched: Watched) -> None:
    access = Access(tokens={"connie": READER, "stan": STRANGER})
    async with serving_console(watched, Settings(access=access)) as (client, _):
        assert (await client.get("/")).status == 200, "whoever comes is asked for a token by the page"
        for path in ("/console/events", "/console/bundle.json"):
            assert (await client.get(path)).status == 401
            assert (await client.get(path, headers=_bearer(STRANGER))).status == 403
        assert (await events_of(client, 1, **_bearer(READER)))[0] == ("hello", {"name": "connie"})
        assert (await client.get("/console/bundle.json", headers=_bearer(READER))).status == 200


async def test_another_sites_page_is_shown_nothing(client: Client) -> None:
    foreign = {"Origin": "https://elsewhere.example"}
    assert (await client.get("/console/events", headers=foreign)).status == 403
    assert (await client.get("/console/bundle.json", headers={"Host": "elsewhere.example"})).status == 403


# What is in it


async def test_nothing_that_users_wrote_and_no_secret_is_shown(watched: Watched, tmp_path: Path) -> None:
    watched.answer(
        result_of(
            id=f"http/{WORDS}",
            utterance_id=WORDS,
            user_id=WORDS,
            conversation_id=WORDS,
            source=None,
            tried=(Attempt(tier="rules", outcome=Outcome.ANSWERED, reason="at least 0.600 sure"),),
        )
    )
    settings = Settings(
        state_folder=tmp_path,
        kafka=Kafka(sasl_username="someone", sasl_password=SecretStr(f"{WORDS}-too")),
        access=Access(tokens={"connie": READER}),
    )
    async with serving_console(watched, settings) as (client, _):
        events = await events_of(client, 3, **_bearer(READER))
        bundle = await (await client.get("/console/bundle.json", headers=_bearer(READER))).text()
    assert events[2][1]["recent"][0]["place"] is None
    for shown in (json.dumps(events), bundle):
        assert WORDS not in shown
        assert SECRET not in shown


async def test_a_bundle_says_what_whoever_helps_wants_to_know(client: Client) -> None:
    response = await client.get("/console/bundle.json")
    assert re.fullmatch(
        r'attachment; filename="intentstream-worker-1-\d+T\d+Z\.json"', response.headers["Content-Disposition"]
    )
    bundle = await response.json()
    assert bundle["version"] == "1.2.3"
    assert bundle["health"]["status"] in {"pass", "warn"}
    assert bundle["settings"]["web.max_consoles"] == "2"
    assert "intentstream_events_in_total" in bundle["metrics"]
    assert bundle["console"]["tiers"]


def _bearer(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.secret.get_secret_value()}"}


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
