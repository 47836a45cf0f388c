"""Who may read and write flags over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from schemas.tokens import Scope, Token
from tests.kit.flag_api import FLAGS, OFREP, SECRET, WHY, Client, FlagWorker, ask, serving_flags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def worker() -> FlagWorker:
    return FlagWorker()


@pytest.fixture
def tokens() -> dict[str, Token]:
    return {}


@pytest.fixture
async def client(worker: FlagWorker, tokens: dict[str, Token]) -> AsyncIterator[Client]:
    async with serving_flags(worker, tokens) as client:
        yield client


@pytest.fixture
def wanda(tokens: dict[str, Token]) -> str:
    tokens["wanda"] = Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.FLAGS_WRITE}))
    return f"Bearer {SECRET}"


async def test_a_tokens_holder_is_who_changed_it(wanda: str, client: Client, worker: FlagWorker) -> None:
    status, _ = await ask(
        client, "PATCH", f"{FLAGS}/caching", {"enabled": False, "reason": "a test"}, Authorization=wanda
    )
    assert (status, worker.history[0].changed_by) == (200, "wanda")


async def test_nobody_writes_in_anothers_name(wanda: str, client: Client, worker: FlagWorker) -> None:
    status, answer = await ask(client, "PATCH", f"{FLAGS}/caching", {"enabled": False} | WHY, Authorization=wanda)
    assert (status, worker.history) == (422, [])
    assert answer["faults"] == ["changed_by: it is wanda, whose token this is"]


@pytest.mark.usefixtures("wanda")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", FLAGS),
        ("GET", f"{FLAGS}/caching"),
        ("GET", f"{FLAGS}/check/caching"),
        ("GET", f"{FLAGS}/caching/history"),
        ("PUT", f"{FLAGS}/caching"),
        ("PATCH", f"{FLAGS}/caching"),
        ("DELETE", f"{FLAGS}/caching"),
        ("POST", OFREP),
        ("POST", f"{OFREP}/caching"),
    ],
)
async def test_every_route_wants_a_token_where_there_are_some(client: Client, method: str, path: str) -> None:
    response = await client.request(method, path, json={})
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="intentstream"')


async def test_who_may_write_may_not_read(wanda: str, client: Client) -> None:
    assert (await ask(client, "GET", FLAGS, Authorization=wanda))[0] == 403


async def test_no_token_is_ever_logged(wanda: str, client: Client) -> None:
    with capture_logs() as logged:
        await ask(client, "PATCH", f"{FLAGS}/caching", {"reason": 1}, Authorization=wanda)
        _, answer = await ask(client, "GET", FLAGS, Authorization=f"{wanda}x")
    assert SECRET not in str(logged) + str(answer)


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
async def test_without_tokens_a_page_from_elsewhere_is_refused(client: Client, headers: dict[str, str]) -> None:
    assert (await ask(client, "GET", FLAGS, **headers))[0] == 403
