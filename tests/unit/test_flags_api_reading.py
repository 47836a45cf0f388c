"""What HTTP callers are told about flags: what they are, what they are for somebody, and what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.kit.flag_api import FLAGS, WHY, Client, FlagWorker, ask, patched, serving_flags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def worker() -> FlagWorker:
    return FlagWorker()


@pytest.fixture
async def client(worker: FlagWorker) -> AsyncIterator[Client]:
    async with serving_flags(worker, {}) as client:
        yield client


async def test_all_flags_are_listed_ours_as_their_defaults(client: Client) -> None:
    status, answer = await ask(client, "GET", FLAGS)
    assert (status, answer["revision"], answer["current"], len(answer["flags"])) == (200, 0, True, 9)
    shown = {flag["name"]: flag for flag in answer["flags"]}
    assert (shown["caching"]["enabled"], shown["caching"]["overridden"]) == (True, False)
    assert (shown["quality_mode"]["overridden"], shown["quality_mode"]["owner"]) == (None, "classification")


async def test_a_worker_that_has_not_read_the_log_says_so(client: Client, worker: FlagWorker) -> None:
    worker.caught_up, worker.age_seconds = False, float("inf")
    _, answer = await ask(client, "GET", FLAGS)
    assert (answer["current"], answer["age_seconds"]) == (False, None)


async def test_one_flag_is_shown_with_its_revision_as_entity_tag(client: Client) -> None:
    await patched(client, "caching", enabled=False)
    response = await client.get(f"{FLAGS}/caching")
    assert (response.headers["ETag"], (await response.json())["enabled"]) == ('"1"', False)


@pytest.mark.parametrize("path", [f"{FLAGS}/no_such", f"{FLAGS}/check/no_such", f"{FLAGS}/no_such/history"])
async def test_a_flag_that_does_not_exist_is_not_found(client: Client, path: str) -> None:
    status, answer = await ask(client, "GET", path)
    assert (status, answer["code"]) == (404, "unknown_flag")


async def test_a_check_says_value_variant_reason_and_version(client: Client) -> None:
    rule = {"conditions": [{"attribute": "plan", "operator": "equals", "values": ["gold"]}]}
    await patched(client, "quality_mode", enabled=True, rollout_percentage=0, rules=[rule])
    _, gold = await ask(client, "GET", f"{FLAGS}/check/quality_mode?user_id=u&plan=gold")
    _, other = await ask(client, "GET", f"{FLAGS}/check/quality_mode?user_id=u&plan=tin")
    assert (gold["value"], gold["variant"], gold["reason"], gold["version"]) == (True, "on", "TARGETING_MATCH", 1)
    assert (other["value"], other["variant"], other["error_code"]) == (False, "off", None)


async def test_a_check_without_the_user_it_needs_says_so(client: Client) -> None:
    await patched(client, "caching", rollout_percentage=50)
    status, answer = await ask(client, "GET", f"{FLAGS}/check/caching")
    assert (status, answer["reason"], answer["error_code"]) == (200, "ERROR", "TARGETING_KEY_MISSING")


@pytest.mark.parametrize(
    ("moment", "value", "revision"),
    [
        ("0", True, 0),
        ("1", False, 1),
        ("2", True, 2),
        ("2025-12-31T23:59:59Z", True, 0),
        ("2026-01-01T12:00:00Z", False, 1),
        ("2026-01-02T01:00:00%2B01:00", True, 2),
    ],
)
async def test_the_past_is_answered_as_it_was(client: Client, moment: str, value: bool, revision: int) -> None:  # noqa: FBT001 - it is the value
    await patched(client, "caching", enabled=False)
    await patched(client, "caching", enabled=True)
    status, answer = await ask(client, "GET", f"{FLAGS}/check/caching?at={moment}")
    assert (status, answer["value"], answer["revision"]) == (200, value, revision)


@pytest.mark.parametrize("moment", ["7", "yesterday", "2026-01-01", "-1", "1.5"])
async def test_a_moment_that_is_none_is_refused(client: Client, moment: str) -> None:
    status, answer = await ask(client, "GET", f"{FLAGS}/check/caching?at={moment}")
    assert (status, answer["code"]) == (400, "invalid_request")
    assert answer["detail"].startswith("at is")


async def test_the_past_goes_by_revisions_where_clocks_disagree(client: Client, worker: FlagWorker) -> None:
    await patched(client, "caching", enabled=False)
    await patched(client, "caching", enabled=True)
    worker.history[0] = msgspec.structs.replace(worker.history[0], changed_at="2027-01-01T00:00:00Z")
    _, answer = await ask(client, "GET", f"{FLAGS}/check/caching?at=2026-06-01T00:00:00Z")
    assert (answer["value"], answer["revision"]) == (True, 2)


async def test_a_history_is_read_page_by_page_the_newest_first(client: Client) -> None:
    for percentage in (10, 20, 30):
        await patched(client, "caching", rollout_percentage=percentage)
    _, first = await ask(client, "GET", f"{FLAGS}/caching/history?limit=2")
    assert ([each["revision"] for each in first["changes"]], first["next_before"]) == ([3, 2], 2)
    _, last = await ask(client, "GET", f"{FLAGS}/caching/history?limit=2&before=2")
    assert ([each["revision"] for each in last["changes"]], last["next_before"]) == ([1], None)
    assert last["changes"][0]["changed_by"] == "ada"


async def test_one_of_ours_that_nobody_has_changed_has_an_empty_history(client: Client) -> None:
    status, answer = await ask(client, "GET", f"{FLAGS}/caching/history")
    assert (status, answer) == (200, {"changes": [], "next_before": None})


async def test_check_is_no_name_so_that_a_check_of_a_flag_is_no_history(client: Client) -> None:
    status, answer = await ask(client, "PUT", f"{FLAGS}/check", {"enabled": True} | WHY)
    assert (status, answer["faults"]) == (422, ["check is a word of the HTTP routes, and no name; choose another"])
    await ask(client, "PUT", f"{FLAGS}/history", {"enabled": True} | WHY)
    status, answer = await ask(client, "GET", f"{FLAGS}/check/history")
    assert (status, answer["name"], answer["value"]) == (200, "history", True)


async def test_an_attribute_has_a_name(client: Client) -> None:
    assert (await ask(client, "GET", f"{FLAGS}/check/caching?=gold"))[0] == 400


async def test_every_fault_of_a_query_is_told_at_once(client: Client) -> None:
    status, answer = await ask(client, "GET", f"{FLAGS}/caching/history?limit=0&before=x&colour=red&limit=2")
    assert (status, len(answer["faults"])) == (400, 3)
