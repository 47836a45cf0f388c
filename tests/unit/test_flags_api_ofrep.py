"""OpenFeature's remote evaluation, as its clients ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.flag_api import OFREP, Client, FlagWorker, ask, patched, serving_flags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def worker() -> FlagWorker:
    return FlagWorker()


@pytest.fixture
async def client(worker: FlagWorker) -> AsyncIterator[Client]:
    async with serving_flags(worker, {}) as client:
        yield client


async def evaluate(client: Client, key: str, **context: Any) -> tuple[int, Any]:
    return await ask(client, "POST", f"{OFREP}/{key}", {"context": context})


async def test_a_flag_is_evaluated_remotely(client: Client) -> None:
    await patched(client, "quality_mode", enabled=True, rollout_percentage=100)
    status, answer = await evaluate(client, "quality_mode", targetingKey="u")
    assert status == 200
    assert (answer["key"], answer["value"], answer["variant"], answer["reason"]) == (
        "quality_mode",
        True,
        "on",
        "STATIC",
    )
    assert answer["metadata"]["version"] == 1


async def test_remote_evaluation_has_its_own_words_for_what_goes_wrong(client: Client) -> None:
    await patched(client, "caching", rollout_percentage=50)
    assert (await evaluate(client, "caching"))[1]["errorCode"] == "TARGETING_KEY_MISSING"
    assert await evaluate(client, "no_such") == (
        404,
        {"key": "no_such", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "There is no such flag."},
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "PARSE_ERROR"),
        ("[]", "PARSE_ERROR"),
        ("{}", "INVALID_CONTEXT"),
        ('{"context": 7}', "INVALID_CONTEXT"),
        ('{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
    ],
)
async def test_a_context_that_is_none_is_refused(client: Client, body: str, code: str) -> None:
    for path in (OFREP, f"{OFREP}/caching"):
        response = await client.post(path, data=body, headers={"Content-Type": "application/json"})
        assert (response.status, (await response.json())["errorCode"]) == (400, code)


async def test_all_flags_are_evaluated_at_once_and_again_only_if_something_changed(client: Client) -> None:
    body = {"context": {"targetingKey": "u"}}
    first = await client.post(OFREP, json=body)
    assert len((await first.json())["flags"]) == 9
    known = {"If-None-Match": first.headers["ETag"]}
    same = await client.post(OFREP, json=body, headers=known)
    assert (same.status, await same.read()) == (304, b"")
    await patched(client, "caching", enabled=False)
    assert (await client.post(OFREP, json=body, headers=known)).status == 200


async def test_another_context_is_another_answer(client: Client) -> None:
    rule = {"conditions": [{"attribute": "plan", "operator": "equals", "values": ["gold"]}]}
    await patched(client, "quality_mode", enabled=True, rollout_percentage=0, rules=[rule])
    first = await client.post(OFREP, json={"context": {"targetingKey": "u", "plan": "tin"}})
    known = {"If-None-Match": first.headers["ETag"]}
    assert (
        await client.post(OFREP, json={"context": {"targetingKey": "u", "plan": "gold"}}, headers=known)
    ).status == 200
