"""What HTTP callers may change about flags, what they must say, and what they are told when it cannot be done."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from schemas.errors import UnavailableError
from tests.kit.flag_api import FLAGS, WHY, Client, FlagWorker, ask, patched, serving_flags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ODD_VARIANTS = [{"name": "a", "value": {"b": [10**30]}, "weight": 100}]
EXPERIMENT = {"control": "a", "started_at": "2026-01-01T00:00:00Z"}


@pytest.fixture
def worker() -> FlagWorker:
    return FlagWorker()


@pytest.fixture
async def client(worker: FlagWorker) -> AsyncIterator[Client]:
    async with serving_flags(worker, {}) as client:
        yield client


async def test_what_is_named_changes_and_the_rest_stays(client: Client) -> None:
    await patched(client, "quality_mode", enabled=True, rollout_percentage=12.5)
    answer = await patched(client, "quality_mode", killed=True)
    assert (answer["rollout_percentage"], answer["killed"], answer["revision"], answer["applied"]) == (
        12.5,
        True,
        2,
        None,
    )


async def test_a_whole_state_is_put_and_makes_the_flag(client: Client) -> None:
    state = {"enabled": True, "rollout_percentage": 5, "owner": "ada"}
    assert (await ask(client, "PUT", f"{FLAGS}/beta", state | WHY))[0] == 201
    status, answer = await ask(client, "PUT", f"{FLAGS}/beta", {"enabled": False} | WHY)
    assert (status, answer["rollout_percentage"], answer["owner"]) == (200, 100, "")


async def test_a_patch_makes_no_flag(client: Client) -> None:
    status, answer = await ask(client, "PATCH", f"{FLAGS}/beta", {"enabled": True} | WHY)
    assert (status, answer["code"]) == (404, "unknown_flag")


async def test_a_deleted_flag_is_gone_and_one_of_ours_its_default_again(client: Client) -> None:
    await ask(client, "PUT", f"{FLAGS}/beta", {"enabled": True} | WHY)
    await patched(client, "caching", enabled=False)
    for name in ("beta", "caching"):
        status, answer = await ask(client, "DELETE", f"{FLAGS}/{name}?reason=done&changed_by=ada")
        assert (status, answer["reason"]) == (200, "done" if name == "beta" else "")
    assert (await ask(client, "GET", f"{FLAGS}/beta"))[0] == 404
    assert (await ask(client, "GET", f"{FLAGS}/caching"))[1]["enabled"] is True


async def test_a_change_based_on_an_older_revision_is_refused(client: Client) -> None:
    await patched(client, "caching", enabled=False)
    body = {"enabled": True} | WHY
    assert (await ask(client, "PATCH", f"{FLAGS}/caching", body, If_Match='"0"'))[0] == 412
    assert (await ask(client, "PATCH", f"{FLAGS}/caching", body, If_Match='"1"'))[0] == 200


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"1"', 200),
        ('"7", "1"', 200),
        (', W/"x" ,"1,2",, "1"', 200),
        ("*", 200),
        ('"7", "0"', 412),
        ('W/"1"', 412),
        ('"one"', 412),
    ],
)
async def test_a_change_may_be_based_on_one_of_several_revisions_or_on_any(
    client: Client, condition: str, status: int
) -> None:
    await ask(client, "PUT", f"{FLAGS}/beta", {"enabled": True} | WHY)
    assert (await ask(client, "PATCH", f"{FLAGS}/beta", {"killed": True} | WHY, If_Match=condition))[0] == status


async def test_a_flag_that_must_be_there_is_not_made(client: Client) -> None:
    body = {"enabled": True} | WHY
    assert (await ask(client, "PUT", f"{FLAGS}/beta", body, If_Match="*"))[0] == 412
    assert (await ask(client, "PUT", f"{FLAGS}/caching", body, If_Match="*"))[0] == 200


async def test_a_flag_is_made_only_if_there_is_none(client: Client) -> None:
    body = {"enabled": True} | WHY
    assert (await ask(client, "PUT", f"{FLAGS}/beta", body, If_None_Match="*"))[0] == 201
    assert (await ask(client, "PUT", f"{FLAGS}/beta", body, If_None_Match="*"))[0] == 412
    assert (await ask(client, "PUT", f"{FLAGS}/caching", body, If_None_Match="*"))[0] == 412


@pytest.mark.parametrize(
    "headers",
    [
        {"If_Match": "41"},
        {"If_Match": ""},
        {"If_Match": '"1" "2"'},
        {"If_Match": '*, "1"'},
        {"If_None_Match": '"1"'},
        {"If_Match": '"1"', "If_None_Match": "*"},
    ],
)
async def test_a_condition_that_is_none_is_refused(client: Client, headers: dict[str, str]) -> None:
    assert (await ask(client, "PATCH", f"{FLAGS}/caching", {"enabled": True} | WHY, **headers))[0] == 400


async def test_everything_that_is_wrong_is_told_at_once(client: Client, worker: FlagWorker) -> None:
    body = {"enabled": "perhaps", "rollout_percentage": 0.00001, "rollout": {}, "revision": 7, "colour": "red"}
    status, answer = await ask(client, "PATCH", f"{FLAGS}/caching", body)
    assert (status, answer["code"]) == (422, "invalid_flag")
    assert {fault.split(":")[0] for fault in answer["faults"]} >= {
        "reason",
        "changed_by",
        "rollout",
        "revision",
        "colour",
        "enabled",
    }
    assert any("steps of 0.001" in fault for fault in answer["faults"])
    assert worker.history == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("caching", WHY, 422, id="nothing to change"),
        pytest.param("Caching", {"enabled": True} | WHY, 422, id="no name"),
        pytest.param("caching?wait=some", {"enabled": True} | WHY, 400, id="wait for whom"),
        pytest.param("caching?wait=all&timeout_seconds=0", {"enabled": True} | WHY, 400, id="no time"),
        pytest.param("caching?wait=all&timeout_seconds=nan", {"enabled": True} | WHY, 400, id="no number"),
        pytest.param("caching?wiat=all", {"enabled": True} | WHY, 400, id="a typing error"),
        pytest.param("caching", [], 400, id="no object"),
        pytest.param("caching", {"variants": ODD_VARIANTS, "experiment": EXPERIMENT} | WHY, 422, id="no strategy"),
        pytest.param("caching", {"enabled": True, "reason": " ", "changed_by": "ada"}, 422, id="no reason"),
        pytest.param("caching", {"enabled": True, "reason": "x" * 2_001, "changed_by": "ada"}, 422, id="a novel"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    client: Client, worker: FlagWorker, path: str, body: Any, status: int
) -> None:
    method = "PUT" if path == "Caching" else "PATCH"
    assert (await ask(client, method, f"{FLAGS}/{path}", body))[0] == status
    assert worker.history == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_a_form_could_send_is_refused(client: Client, content_type: str) -> None:
    body = msgspec.json.encode({"enabled": True} | WHY)
    response = await client.patch(f"{FLAGS}/caching", data=body, headers={"Content-Type": content_type})
    assert response.status == 415


async def test_a_write_can_wait_until_everybody_has_applied_it(client: Client, worker: FlagWorker) -> None:
    body = {"enabled": False} | WHY
    status, answer = await ask(client, "PATCH", f"{FLAGS}/caching?wait=all", body)
    assert (status, answer["applied"], worker.waited) == (200, {"workers": 2, "missing": []}, [(1, 10.0)])


async def test_who_is_missing_at_the_deadline_is_named_and_the_change_is_made(
    client: Client, worker: FlagWorker
) -> None:
    worker.missing = ("worker-2",)
    body = {"enabled": False} | WHY
    status, answer = await ask(client, "PATCH", f"{FLAGS}/caching?wait=all&timeout_seconds=0.25", body)
    assert (status, answer["applied"]) == (202, {"workers": 1, "missing": ["worker-2"]})
    assert worker.waited == [(1, 0.25)]
    assert len(worker.history) == 1


async def test_a_broker_that_is_away_is_said_with_when_to_try_again(client: Client, worker: FlagWorker) -> None:
    worker.obstacle = UnavailableError("The broker is away.")
    response = await client.patch(f"{FLAGS}/caching", json={"enabled": False} | WHY)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_a_write_that_takes_too_long_is_no_longer_waited_for_and_more_than_few_are_refused(
    client: Client, worker: FlagWorker
) -> None:
    worker.let_go.clear()
    body = {"enabled": False} | WHY
    begun = time.monotonic()
    answers = await asyncio.gather(*(ask(client, "PATCH", f"{FLAGS}/caching", body) for _ in range(4)))
    assert {status for status, _ in answers} == {503}
    said = sorted(answer["detail"].split()[0] for _, answer in answers)
    assert said == ["The", "The", "Too", "Too"]
    assert time.monotonic() - begun < 20
    worker.let_go.set()
