"""What HTTP callers are answered about rollouts: starting, watching and steering them, and what they may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from flags.api.blocking import BlockingCalls
from flags.comparison import Comparison
from flags.rollouts.acts import rollout_of, since
from flags.rollouts.routes import ROOT, RolloutRoutes
from flags.rollouts.status import RolloutStatus, judged, status_of
from schemas.access import Access
from schemas.tokens import Scope, Token
from tests.kit.flag_api import SECRET, WHY, Client, FlagLog, ask, serving
from tests.unit.test_rollouts_decision import BEGUN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from schemas.events import FlagChange

PLAN = {"steps": [10, 50, 100], "guardrails": [{"metric": "error_rate", "tolerated_ratio": 1.2}]}


def judge(flag: FlagChange) -> RolloutStatus:
    rollout = rollout_of(flag)
    if rollout.state != "running":
        return status_of(flag, rollout)
    return judged(flag, rollout, Comparison(since(flag)), BEGUN, behind_seconds=0.0)


@pytest.fixture
def tokens() -> dict[str, Token]:
    return {}


@pytest.fixture
async def client(tokens: dict[str, Token]) -> AsyncIterator[Client]:
    log, calls = FlagLog(), BlockingCalls("test-calls", threads=1, waiting=1, deadline_seconds=5.0)
    routes = RolloutRoutes(
        access=Access(tokens), log=log, snapshot=lambda: log.snapshot, judge=judge, reads=calls, writes=calls
    )
    async with serving(routes) as client:
        yield client
    calls.close()


async def test_a_rollout_is_started_watched_and_steered(client: Client) -> None:
    status, started = await ask(client, "POST", f"{ROOT}/distilbert_model", PLAN | WHY)
    assert (status, started["percentage"], started["rollout"]["state"]) == (201, 10, "running")
    assert (started["changed_by"], started["reason"]) == ("ada", "a test")
    status, shown = await ask(client, "GET", f"{ROOT}/distilbert_model")
    assert (status, shown["verdict"], shown["treated"]) == (200, "hold", 0)
    assert [each["metric"] for each in shown["guardrails"]] == ["error_rate"]
    for word, state, percentage in (
        ("skip", "running", 50),
        ("pause", "paused", 50),
        ("resume", "running", 50),
        ("abort", "aborted", 0),
    ):
        status, now = await ask(client, "POST", f"{ROOT}/distilbert_model/{word}", WHY)
        assert (status, now["rollout"]["state"], now["percentage"]) == (200, state, percentage)
    status, listed = await ask(client, "GET", ROOT)
    assert (status, [each["flag"] for each in listed["rollouts"]]) == (200, ["distilbert_model"])


async def test_every_fault_of_a_plan_is_said_at_once(client: Client) -> None:
    body = {"steps": ["ten"], "guardrails": [{"metric": "beauty"}], "step_utterances": 0, "colour": "red"}
    status, problem = await ask(client, "POST", f"{ROOT}/quality_mode", body)
    assert status == 422
    said = "\n".join(problem["faults"])
    for fault in ("steps:", "guardrails:", "step_utterances:", "colour:", "reason:", "changed_by:"):
        assert fault in said


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/quality_mode", 404),
        ("POST", "/unheard_of", 404),
        ("POST", "/quality_mode/pause", 422),
        ("POST", "/quality_mode/dance", 404),
        ("POST", "/caching", 422),
    ],
)
async def test_what_cannot_be_done_is_refused(client: Client, method: str, path: str, status: int) -> None:
    assert (await ask(client, method, f"{ROOT}{path}", WHY if method == "POST" else None))[0] == status


async def test_an_act_may_say_what_it_is_based_on(client: Client) -> None:
    await ask(client, "POST", f"{ROOT}/distilbert_model", PLAN | WHY)
    assert (await ask(client, "POST", f"{ROOT}/distilbert_model/pause", WHY, If_Match='"7"'))[0] == 412
    assert (await ask(client, "POST", f"{ROOT}/distilbert_model/pause", WHY, If_Match='"1"'))[0] == 200


@pytest.mark.parametrize("tokens", [{"reader": Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.FLAGS_READ}))}])
async def test_reading_and_steering_need_scopes_of_their_own(client: Client) -> None:
    assert (await ask(client, "GET", ROOT))[0] == 401
    bearer = {"Authorization": f"Bearer {SECRET}"}
    assert (await ask(client, "GET", ROOT, **bearer))[0] == 200
    assert (await ask(client, "POST", f"{ROOT}/distilbert_model", PLAN | WHY, **bearer))[0] == 403
