"""Sending dead letters again over HTTP: who may, what is refused, and that a dry run sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from flags.api.blocking import BlockingCalls
from health.metrics import Metrics
from health.middleware import protect
from schemas.access import Access
from schemas.settings import Web
from schemas.tokens import Scope, Token
from streams.deadletter_routes import REPLAY, DeadLetterRoutes
from streams.deadletters import Plan, Replayed
from tests.kit.flag_api import Client, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from streams.deadletters import Place, Selection

SECRET = "lena-lena-lena-lena"  # noqa: S105 - opens nothing


class Letters:
    """Stands in for the dead-letter topic: three letters of one kind, one of which cannot be sent."""

    def __init__(self) -> None:
        self.asked: list[Selection] = []
        self.sent: list[Place] = []

    def plan(self, selection: Selection) -> Plan:
        self.asked.append(selection)
        return Plan(
            places=frozenset({(0, 1), (0, 2)}), topics={"intents.utterances.v1": 2}, left={(0, 3): "it was too large"}
        )

    def replay(self, places: Collection[Place]) -> Replayed:
        self.sent += sorted(places)
        return Replayed(sent=len(places), failures={})


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def tokens() -> dict[str, Token]:
    return {}


@pytest.fixture
async def client(letters: Letters, tokens: Mapping[str, Token]) -> AsyncIterator[Client]:
    app = web.Application()
    protect(app, Metrics("1.2.3"), Web())
    calls = BlockingCalls("test-letters", threads=1, waiting=1, deadline_seconds=20)
    DeadLetterRoutes(access=Access(tokens), plan=letters.plan, replay=letters.replay, calls=calls).mount(app)
    async with TestClient(TestServer(app), timeout=ClientTimeout(20)) as client:
        yield client


async def test_they_are_sent_again_and_it_is_said_which_were_not(client: Client, letters: Letters) -> None:
    status, report = await ask(client, "POST", REPLAY, {"codes": ["invalid_json"]})
    assert (status, report["sent"], report["topics"]) == (200, 2, {"intents.utterances.v1": 2})
    assert report["left"] == [{"id": "0/3", "reason": "it was too large"}]
    assert letters.asked[0].codes == {"invalid_json"}
    assert letters.sent == [(0, 1), (0, 2)]


async def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(client: Client, letters: Letters) -> None:
    status, report = await ask(client, "POST", REPLAY, {"dry_run": True})
    assert (status, report["found"], report["sent"]) == (200, 2, 0)
    assert letters.sent == []


@pytest.mark.parametrize("body", [{"code": "typo"}, {"codes": "invalid_json"}, {"dry_run": "yes"}, []])
async def test_what_makes_no_sense_sends_nothing(client: Client, letters: Letters, body: object) -> None:
    status, _ = await ask(client, "POST", REPLAY, body)
    assert (status, letters.sent) == (400, [])


@pytest.mark.parametrize(
    "tokens", [{"lena": Token(secret=SecretStr(SECRET), scopes=frozenset(Scope) - {Scope.DEAD_LETTERS_REPLAY})}]
)
async def test_it_needs_a_scope_of_its_own(client: Client, letters: Letters) -> None:
    assert (await ask(client, "POST", REPLAY, {}))[0] == 401
    assert (await ask(client, "POST", REPLAY, {}, Authorization=f"Bearer {SECRET}"))[0] == 403
    assert letters.asked == []
