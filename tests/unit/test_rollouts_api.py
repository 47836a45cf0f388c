"""What HTTP callers are answered about rollouts: starting, watching and steering them, and what they may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from flags.api.blocking import BlockingCalls
from flags.changelog import Fold
from flags.edits import propose
from flags.evaluation import Snapshot
from flags.rollouts.comparison import Comparison, rollout_of, since
from flags.rollouts.routes import ROOT, RolloutRoutes
from flags.rollouts.status import RolloutStatus, judged, status_of
from health.metrics import Metrics
from health.middleware import protect
from schemas import settings
from schemas.access import Access
from schemas.tokens import Scope, Token
from tests.unit.test_rollouts_decision import BEGUN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flags.edits import Edit
    from schemas.events import FlagChange

Client = TestClient[web.Request, web.Application]
WHY = {"reason": "a test", "changed_by": "ada"}
PLAN = {"steps": [10, 50, 100], "guardrails": [{"metric": "error_rate", "tolerated_ratio": 1.2}]}
SECRET = "wanda-wanda-wanda-wanda"  # noqa: S105 - opens nothing


class Log:
    """Stands in for the changelog and the evidence, which need a broker."""

    def __init__(self) -> None:
        self.fold = Fold()

    def read(self) -> Fold:
        return self.fold

    def write(self, edit: Edit) -> FlagChange:
        revision = self.fold.revision + 1
        change = propose(edit, self.fold, revision=revision, changed_at=BEGUN.isoformat())
        assert self.fold.apply(change.name.encode(), msgspec.json.encode(change), revision) is None
        assert self.fold.settle() == []
        return self.fold.changes[change.name]

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(None, self.fold.revision, changes=self.fold.changes)


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
    log, calls = Log(), BlockingCalls("test-calls", threads=1, waiting=1, deadline_seconds=5.0)
    routes = RolloutRoutes(
        access=Access(tokens), log=log, snapshot=lambda: log.snapshot, judge=judge, reads=calls, writes=calls
    )
    app = web.Application()
    protect(app, Metrics("1.2.3"), settings.Web())
    app.add_routes(routes.routes())
    async with TestClient(TestServer(app), timeout=ClientTimeout(10)) as client:
        yield client
    calls.close()


async def ask(client: Client, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.request(method, f"{ROOT}{path}", json=body, headers=names)
    answer = await response.json(content_type=None)
    if response.status >= 400:
        assert response.content_type == "application/problem+json"
    return response.status, answer


async def test_a_rollout_is_started_watched_and_steered(client: Client) -> None:
    status, started = await ask(client, "POST", "/distilbert_model", PLAN | WHY)
    assert (status, started["percentage"], started["rollout"]["state"]) == (201, 10, "running")
    assert (started["changed_by"], started["reason"]) == ("ada", "a test")
    status, shown = await ask(client, "GET", "/distilbert_model")
    assert (status, shown["verdict"], shown["treated"]) == (200, "hold", 0)
    assert [each["metric"] for each in shown["guardrails"]] == ["error_rate"]
    for word, state, percentage in (
        ("skip", "running", 50),
        ("pause", "paused", 50),
        ("resume", "running", 50),
        ("abort", "aborted", 0),
    ):
        status, now = await ask(client, "POST", f"/distilbert_model/{word}", WHY)
        assert (status, now["rollout"]["state"], now["percentage"]) == (200, state, percentage)
    status, listed = await ask(client, "GET", "")
    assert (status, [each["flag"] for each in listed["rollouts"]]) == (200, ["distilbert_model"])


async def test_every_fault_of_a_plan_is_said_at_once(client: Client) -> None:
    body = {"steps": ["ten"], "guardrails": [{"metric": "beauty"}], "step_utterances": 0, "colour": "red"}
    status, problem = await ask(client, "POST", "/quality_mode", body)
    assert status == 422
    said = "\n".join(problem["errors"] if "errors" in problem else [problem["detail"]])
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
    assert (await ask(client, method, path, WHY if method == "POST" else None))[0] == status


async def test_an_act_may_say_what_it_is_based_on(client: Client) -> None:
    await ask(client, "POST", "/distilbert_model", PLAN | WHY)
    assert (await ask(client, "POST", "/distilbert_model/pause", WHY, If_Match='"7"'))[0] == 412
    assert (await ask(client, "POST", "/distilbert_model/pause", WHY, If_Match='"1"'))[0] == 200


@pytest.mark.parametrize("tokens", [{"reader": Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.FLAGS_READ}))}])
async def test_reading_and_steering_need_scopes_of_their_own(client: Client) -> None:
    assert (await ask(client, "GET", ""))[0] == 401
    bearer = {"Authorization": f"Bearer {SECRET}"}
    assert (await ask(client, "GET", "", **bearer))[0] == 200
    assert (await ask(client, "POST", "/distilbert_model", PLAN | WHY, **bearer))[0] == 403
