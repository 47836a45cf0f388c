"""What HTTP callers are answered about flags: reading, checking, changing, and what they may not do."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from structlog.testing import capture_logs

from flags.api.blocking import BlockingCalls
from flags.api.ofrep import RemoteEvaluation
from flags.api.reading import FlagReading
from flags.api.writing import FlagWriting
from flags.changelog import Fold
from flags.edits import propose
from flags.evaluation import Snapshot
from flags.propagation import Applied
from health.metrics import Metrics
from health.middleware import protect
from schemas import settings
from schemas.access import Access
from schemas.errors import UnavailableError
from schemas.tokens import Scope, Token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from flags.edits import Edit
    from flags.follower import Follower
    from schemas.events import FlagChange

Client = TestClient[web.Request, web.Application]
FLAGS = "/api/v1/feature-flags"
OFREP = "/ofrep/v1/evaluate/flags"
WHY = {"reason": "a test", "changed_by": "ada"}
ODD_VARIANTS = [{"name": "a", "value": {"b": [10**30]}, "weight": 100}]
EXPERIMENT = {"control": "a", "started_at": "2026-01-01T00:00:00Z"}
SECRET = "wanda-wanda-wanda-wanda"  # noqa: S105 - opens nothing


class Log:
    """Stands in for the changelog, the audit and the follower, which need a broker."""

    def __init__(self) -> None:
        self.fold = Fold()
        self.history: list[FlagChange] = []
        self.snapshot = Snapshot()
        self.caught_up, self.age_seconds = True, 0.5
        self.missing: tuple[str, ...] = ()
        self.obstacle: Exception | None = None
        self.let_go = threading.Event()
        self.let_go.set()
        self.waited: list[tuple[int, float]] = []

    def write(self, edit: Edit) -> FlagChange:
        assert self.let_go.wait(20)
        if self.obstacle is not None:
            raise self.obstacle
        revision = len(self.history) + 1
        moment = f"2026-01-0{revision}T00:00:00.000000Z"
        change = propose(edit, self.fold, revision=revision, changed_at=moment)
        assert self.fold.apply(change.name.encode(), msgspec.json.encode(change), revision) is None
        assert self.fold.settle() == []
        self.history.append(change)
        self.snapshot = Snapshot(None, revision, changes=self.fold.changes)
        return change

    def read_audit(self) -> Iterator[FlagChange]:
        return iter(self.history)

    def changes_of(self, name: str, *, before: int | None, most: int) -> list[FlagChange] | None:
        found = [change for change in reversed(self.history) if change.name == name]
        return [change for change in found if before is None or change.revision < before][:most] if found else None

    async def wait_applied(self, revision: int, deadline_seconds: float) -> Applied:
        self.waited.append((revision, deadline_seconds))
        return Applied(workers=2 - len(self.missing), missing=self.missing)

    async def hold(self) -> None:
        """Return: it is certain."""


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def tokens() -> dict[str, Token]:
    return {}


@pytest.fixture
async def client(log: Log, tokens: dict[str, Token]) -> AsyncIterator[Client]:
    access = Access(tokens)
    reads, writes = (
        BlockingCalls(name, threads=1, waiting=1, deadline_seconds=0.5) for name in ("test-reads", "test-writes")
    )
    app = web.Application()
    protect(app, Metrics("1.2.3"), settings.Web())
    for routes in (
        FlagReading(
            access=access,
            follower=cast("Follower", log),
            overrides={"caching": False},
            read_audit=log.read_audit,
            changes_of=log.changes_of,
            hold=log.hold,
            calls=reads,
        ),
        FlagWriting(
            access=access,
            write=log.write,
            snapshot=lambda: log.snapshot,
            overrides={},
            propagation=log,
            calls=writes,
        ),
        RemoteEvaluation(access=access, snapshot=lambda: log.snapshot, hold=log.hold),
    ):
        app.add_routes(routes.routes())
    async with TestClient(TestServer(app), timeout=ClientTimeout(10)) as client:
        yield client
    log.let_go.set()
    reads.close()
    writes.close()


async def ask(client: Client, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.request(method, path, json=body, headers=names)
    answer = await response.json(content_type=None)
    if response.status >= 400 and not path.startswith(OFREP):
        assert response.content_type == "application/problem+json"
        assert answer["status"] == response.status
    return response.status, answer


async def patched(client: Client, name: str, **fields: Any) -> Any:
    status, answer = await ask(client, "PATCH", f"{FLAGS}/{name}", fields | WHY)
    assert status == 200, answer
    return answer


# Reading.


async def test_all_flags_are_listed_ours_as_their_defaults(client: Client) -> None:
    status, answer = await ask(client, "GET", FLAGS)
    assert (status, answer["revision"], answer["current"], len(answer["flags"])) == (200, 0, True, 9)
    shown = {flag["name"]: flag for flag in answer["flags"]}
    assert (shown["caching"]["enabled"], shown["caching"]["overridden"]) == (True, False)
    assert (shown["quality_mode"]["overridden"], shown["quality_mode"]["owner"]) == (None, "classification")


async def test_a_worker_that_has_not_read_the_log_says_so(client: Client, log: Log) -> None:
    log.caught_up, log.age_seconds = False, float("inf")
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


async def test_the_past_goes_by_revisions_where_clocks_disagree(client: Client, log: Log) -> None:
    await patched(client, "caching", enabled=False)
    await patched(client, "caching", enabled=True)
    log.history[0] = msgspec.structs.replace(log.history[0], changed_at="2027-01-01T00:00:00Z")
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


# Writing.


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


async def test_everything_that_is_wrong_is_told_at_once(client: Client, log: Log) -> None:
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
    assert log.history == []


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
async def test_what_makes_no_sense_is_refused(client: Client, log: Log, path: str, body: Any, status: int) -> None:
    method = "PUT" if path == "Caching" else "PATCH"
    assert (await ask(client, method, f"{FLAGS}/{path}", body))[0] == status
    assert log.history == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_a_form_could_send_is_refused(client: Client, content_type: str) -> None:
    body = msgspec.json.encode({"enabled": True} | WHY)
    response = await client.patch(f"{FLAGS}/caching", data=body, headers={"Content-Type": content_type})
    assert response.status == 415


async def test_a_write_can_wait_until_everybody_has_applied_it(client: Client, log: Log) -> None:
    body = {"enabled": False} | WHY
    status, answer = await ask(client, "PATCH", f"{FLAGS}/caching?wait=all", body)
    assert (status, answer["applied"], log.waited) == (200, {"workers": 2, "missing": []}, [(1, 10.0)])


async def test_who_is_missing_at_the_deadline_is_named_and_the_change_is_made(client: Client, log: Log) -> None:
    log.missing = ("worker-2",)
    body = {"enabled": False} | WHY
    status, answer = await ask(client, "PATCH", f"{FLAGS}/caching?wait=all&timeout_seconds=0.25", body)
    assert (status, answer["applied"]) == (202, {"workers": 1, "missing": ["worker-2"]})
    assert log.waited == [(1, 0.25)]
    assert len(log.history) == 1


async def test_a_broker_that_is_away_is_said_with_when_to_try_again(client: Client, log: Log) -> None:
    log.obstacle = UnavailableError("The broker is away.")
    response = await client.patch(f"{FLAGS}/caching", json={"enabled": False} | WHY)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_a_write_that_takes_too_long_is_no_longer_waited_for_and_more_than_few_are_refused(
    client: Client, log: Log
) -> None:
    log.let_go.clear()
    body = {"enabled": False} | WHY
    begun = time.monotonic()
    answers = await asyncio.gather(*(ask(client, "PATCH", f"{FLAGS}/caching", body) for _ in range(4)))
    assert {status for status, _ in answers} == {503}
    said = sorted(answer["detail"].split()[0] for _, answer in answers)
    assert said == ["The", "The", "Too", "Too"]
    assert time.monotonic() - begun < 5
    log.let_go.set()


# Who may.


@pytest.fixture
def wanda(tokens: dict[str, Token]) -> str:
    tokens["wanda"] = Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.FLAGS_WRITE}))
    return f"Bearer {SECRET}"


async def test_a_tokens_holder_is_who_changed_it(wanda: str, client: Client, log: Log) -> None:
    status, _ = await ask(
        client, "PATCH", f"{FLAGS}/caching", {"enabled": False, "reason": "a test"}, Authorization=wanda
    )
    assert (status, log.history[0].changed_by) == (200, "wanda")


async def test_nobody_writes_in_anothers_name(wanda: str, client: Client, log: Log) -> None:
    status, answer = await ask(client, "PATCH", f"{FLAGS}/caching", {"enabled": False} | WHY, Authorization=wanda)
    assert (status, log.history) == (422, [])
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


# OpenFeature's remote evaluation.


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
