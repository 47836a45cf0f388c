"""What is kept is told over HTTP and on the command line, to those who may read it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from health.metrics import Metrics
from health.middleware import protect
from infra.cli.main import run
from infra.embedded.ports import free_port
from schemas.access import Access
from schemas.events import Confirmation, Correction
from schemas.server_settings import Postgres
from schemas.settings import Settings, Web
from schemas.tokens import Scope, Token
from streams.sink.database import Database
from streams.sink.memory import ResultMemory
from streams.sink.routes import ResultRoutes
from streams.sink.rows import Batch, Place, feedback_row, result_row
from streams.sink.writer import BatchWriter
from streams.topics import FEEDBACK, RESULTS
from tests.kit.sink import Seen, new_database, results

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from infra.embedded.server import EmbeddedServer

SECRET = "of-a-reader-of-results"  # noqa: S105 - of a test
NOW = int(time.time() * 1000)
TODAY = dt.datetime.fromtimestamp(NOW / 1000, dt.UTC).date().isoformat()


def settings_of(dsn: str) -> Settings:
    return Settings(postgres=Postgres(dsn=cast("Any", dsn)))


async def fill(dsn: str) -> None:
    """Keep three of Ada's greetings, two of Bob's refunds, of which people doubt one, and one out of scope."""
    said = [
        *results(3, user="ada"),
        *results(2, first=10, user="bob", intent="refund"),
        msgspec.structs.replace(results(1, first=20, intent=None)[0], id="intents.utterances.v1/3/17"),
    ]
    feedback = [
        Confirmation(utterance_id="u000000", person_id="eve"),
        Correction(utterance_id="u000010", person_id="eve", intent="greeting", text="hello"),
        Correction(utterance_id="u000011", person_id="eve", intent="greeting", text="money back"),
        Correction(utterance_id="u000011", person_id="sam", intent="refund", text="money back"),
    ]
    rows = [
        result_row(msgspec.json.encode(each), Place(RESULTS, 0, offset, NOW + offset))
        for offset, each in enumerate(said)
    ]
    rows += [
        feedback_row(msgspec.json.encode(each), None, Place(FEEDBACK, 0, offset, NOW + offset), keep_text=False)
        for offset, each in enumerate(feedback)
    ]
    async with Database(dsn, deadline_seconds=30) as database:
        writer = BatchWriter(database, cluster="this", retention_days=3, observer=Seen())
        await writer.open()
        await writer.write(Batch(rows, {(RESULTS, 0): len(said), (FEEDBACK, 0): len(feedback)}, {}))


@pytest.fixture(scope="module")
def dsn(postgres_server: EmbeddedServer) -> str:
    made = new_database(postgres_server.endpoint)
    asyncio.run(fill(made))
    return made


def client_of(dsn: str, *scopes: Scope) -> TestClient[web.Request, web.Application]:
    tokens = {"reader": Token(secret=cast("Any", SECRET), scopes=frozenset(scopes))} if scopes else {}
    application = web.Application()
    protect(application, Metrics("1.2.3"), Web())
    application.add_routes(ResultRoutes(access=Access(tokens), memory=ResultMemory(settings_of(dsn))).routes())
    return TestClient(TestServer(application), headers={"Authorization": f"Bearer {SECRET}"})


@pytest.fixture
async def client(dsn: str) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with client_of(dsn, Scope.RESULTS_READ) as client:
        yield client


async def listed(client: TestClient[web.Request, web.Application], query: str) -> list[str]:
    async with client.get(f"/api/v1/results?{query}") as answer:
        assert answer.status == 200, await answer.text()
        return [result["id"] for result in (await answer.json())["results"]]


async def test_the_newest_results_come_first(client: TestClient[web.Request, web.Application]) -> None:
    assert await listed(client, "limit=2") == ["intents.utterances.v1/3/17", "r000011"]
    assert len(await listed(client, "")) == 6


async def test_results_are_found_by_user_intent_and_time(client: TestClient[web.Request, web.Application]) -> None:
    assert await listed(client, "user_id=bob") == ["r000011", "r000010"]
    assert await listed(client, "intent=greeting&user_id=ada&limit=1") == ["r000002"]
    assert await listed(client, "intent=null") == ["intents.utterances.v1/3/17"]
    assert await listed(client, "since=2999-01-01T00:00:00Z") == []
    assert len(await listed(client, "since=2020-01-01T00:00:00Z")) == 6


async def test_one_result_comes_with_what_people_said_of_it(client: TestClient[web.Request, web.Application]) -> None:
    async with client.get("/api/v1/results/r000011") as answer:
        detail = await answer.json()
    assert detail["result"]["intent"] == "refund"
    assert [(each["person_id"], each["intent"]) for each in detail["feedback"]] == [
        ("eve", "greeting"),
        ("sam", "refund"),
    ]


async def test_an_id_may_have_slashes(client: TestClient[web.Request, web.Application]) -> None:
    for path in ("intents.utterances.v1/3/17", "intents.utterances.v1%2F3%2F17"):
        async with client.get(f"/api/v1/results/{path}") as answer:
            assert (await answer.json())["result"]["id"] == "intents.utterances.v1/3/17"


async def test_a_result_that_is_not_kept_is_404(client: TestClient[web.Request, web.Application]) -> None:
    async with client.get("/api/v1/results/nowhere") as answer:
        assert answer.status == 404


async def test_intents_are_counted_by_day(client: TestClient[web.Request, web.Application]) -> None:
    async with client.get("/api/v1/insights/intents?days=2") as answer:
        insights = (await answer.json())["intents"]
    assert [(each["day"], each["intent"], each["results"]) for each in insights] == [
        (TODAY, "greeting", 3),
        (TODAY, "refund", 2),
        (TODAY, None, 1),
    ]
    assert {each["mean_confidence"] for each in insights} == {0.75}


async def test_accuracy_counts_what_the_last_to_speak_said(client: TestClient[web.Request, web.Application]) -> None:
    async with client.get("/api/v1/insights/accuracy") as answer:
        days = (await answer.json())["days"]
    assert [(each["intent"], each["right"], each["judged"], each["accuracy"]) for each in days] == [
        ("refund", 1, 2, 0.5),
        ("greeting", 1, 1, 1.0),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "results?limit=0",
        "results?limit=501",
        "results?since=yesterday",
        "results?since=2026-01-02T03:04:05",
        "results?user_id=a%00b",
        "results?nothing=1",
        "results/a%00b",
        "insights/intents?days=0",
        "insights/accuracy?since=1",
    ],
)
async def test_what_makes_no_sense_is_refused(client: TestClient[web.Request, web.Application], path: str) -> None:
    async with client.get(f"/api/v1/{path}") as answer:
        assert answer.status == 400, await answer.text()


@pytest.mark.parametrize("path", ["results", "results/r000011", "insights/intents", "insights/accuracy"])
async def test_only_who_may_read_results_is_answered(dsn: str, path: str) -> None:
    async with client_of(dsn, Scope.FLAGS_READ) as client, client.get(f"/api/v1/{path}") as answer:
        assert answer.status == 403


@pytest.fixture
def empty_dsn(postgres_server: EmbeddedServer) -> str:
    return new_database(postgres_server.endpoint)


async def test_where_postgres_is_away_it_is_503_and_says_so(empty_dsn: str) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    for dsn, reason in ((nowhere, "connect"), (empty_dsn, "tables are not there")):
        async with client_of(dsn, Scope.RESULTS_READ) as client, client.get("/api/v1/results") as answer:
            assert answer.status == 503
            assert reason in (await answer.text()).lower()


def test_the_command_line_tells_the_same(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INTENTSTREAM_POSTGRES__DSN", dsn)
    asked = ("recent", "--user", "bob"), ("show", "r000011"), ("intents",), ("accuracy",)
    answers = []
    for arguments in asked:
        assert run(["results", *arguments, "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
        assert run(["results", *arguments]) == 0
        assert "refund" in capsys.readouterr().out
    assert [result["id"] for result in answers[0]["results"]] == ["r000011", "r000010"]
    assert answers[1]["result"]["intent"] == "refund"
    assert answers[2]["intents"][0]["results"] == 3
    assert answers[3]["days"][0]["judged"] == 2
    assert run(["results", "show", "nowhere"]) == 64
