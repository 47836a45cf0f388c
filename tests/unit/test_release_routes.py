"""Releases over HTTP: which there are, who may have one served, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from flags.api.blocking import BlockingCalls
from health.metrics import Metrics
from health.middleware import protect
from schemas.access import Access
from schemas.events import ModelRelease, Trial
from schemas.settings import Web
from schemas.tokens import Scope, Token
from streams.release_acts import MismatchedReleaseError
from streams.release_log import ReleaseLog, key_of
from streams.release_routes import ReleaseRoutes
from tests.kit.flag_api import Client, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from streams.release_acts import ReleaseActs

SECRET = "grace-grace-grace-grace"  # noqa: S105 - opens nothing
SHADOW = "/api/v1/models/distilbert/shadow"
PROMOTE, ROLL_BACK = "/api/v1/models/distilbert/promote", "/api/v1/models/distilbert/rollback"


def release(name: str, state: Any = "candidate", revision: int = 1, previous: tuple[str, ...] = ()) -> ModelRelease:
    return ModelRelease(
        name="distilbert",
        release=name,
        location=f"file:///releases/{name}",
        sha256="0" * 64,
        released_at="2026-11-23T12:00:00Z",
        metrics={"test_in_scope_accuracy": 0.96},
        state=state,
        revision=revision,
        previous=previous,
        changed_by="ada",
        reason="trained",
    )


class Acts:
    """Stands in for the releases' log, which needs a broker: `new` was pushed after `old`, which serves."""

    def __init__(self) -> None:
        self.made: list[tuple[str, ...]] = []
        self.misfit = False

    def read(self) -> ReleaseLog:
        log = ReleaseLog()
        for record in (release("old"), release("new", revision=2), release("old", "serving", 3, ("older",))):
            log.apply(key_of(record), msgspec.json.encode(record))
        return log

    def promote(self, model: str, name: str, *, by: str, reason: str) -> ModelRelease:
        if self.misfit:
            raise MismatchedReleaseError("It tells other intents apart.")
        self.made.append(("promote", model, name, by, reason))
        return self.read().find(model, name)

    def shadow(self, model: str, name: str, *, by: str, reason: str) -> ModelRelease:
        self.made.append(("shadow", model, name, by, reason))
        trial = Trial(stage="shadow", began_at="2026-11-30T09:00:00Z")
        return msgspec.structs.replace(self.read().find(model, name), trial=trial)

    def roll_back(self, model: str, *, by: str, reason: str) -> ModelRelease:
        self.made.append(("roll back", model, by, reason))
        return release("older", "serving", 4)

    def left_out(self, _record: ModelRelease) -> str | None:
        return None

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def acts() -> Acts:
    return Acts()


@pytest.fixture
def tokens() -> dict[str, Token]:
    return {}


@pytest.fixture
async def client(acts: Acts, tokens: Mapping[str, Token]) -> AsyncIterator[Client]:
    app = web.Application()
    protect(app, Metrics("1.2.3"), Web())
    calls = BlockingCalls("test-releases", threads=1, waiting=1, deadline_seconds=20)
    ReleaseRoutes(access=Access(tokens), acts=cast("ReleaseActs", acts), calls=calls).mount(app)
    async with TestClient(TestServer(app), timeout=ClientTimeout(20)) as client:
        yield client


async def test_they_are_listed_the_latest_first_with_what_serves(client: Client) -> None:
    status, listed = await ask(client, "GET", "/api/v1/models")
    assert (status, listed["revision"], listed["previous"]) == (200, 3, {"distilbert": "older"})
    assert [(each["release"], each["serving"]) for each in listed["releases"]] == [("new", False), ("old", True)]


async def test_one_is_promoted_by_somebody_for_a_reason(client: Client, acts: Acts) -> None:
    status, served = await ask(
        client, "POST", PROMOTE, {"release": "new", "reason": "it is better", "changed_by": "ada"}
    )
    assert (status, served["release"], served["left_out"]) == (200, "new", None)
    assert acts.made == [("promote", "distilbert", "new", "ada", "it is better")]


async def test_one_is_tried_beside_what_serves_and_the_answer_says_that_it_serves_nobody(
    client: Client, acts: Acts
) -> None:
    status, tried = await ask(client, "POST", SHADOW, {"release": "new", "reason": "is it?", "changed_by": "ada"})
    assert (status, tried["release"], tried["trial"]) == (200, "new", "shadow")
    assert acts.made == [("shadow", "distilbert", "new", "ada", "is it?")]


async def test_what_serves_is_taken_back(client: Client, acts: Acts) -> None:
    status, served = await ask(client, "POST", ROLL_BACK, {"reason": "it is worse", "changed_by": "ada"})
    assert (status, served["release"]) == (200, "older")
    assert acts.made == [("roll back", "distilbert", "ada", "it is worse")]


@pytest.mark.parametrize(
    "body",
    [
        {"release": "new", "changed_by": "ada"},
        {"release": "new", "reason": "because"},
        {"release": "new", "reason": "because", "changed_by": " "},
        {"reason": "because", "changed_by": "ada"},
        {"release": "new", "reason": "because", "changed_by": "ada", "now": True},
    ],
)
async def test_who_why_and_which_must_be_said_and_nothing_else(client: Client, acts: Acts, body: Any) -> None:
    status, problem = await ask(client, "POST", PROMOTE, body)
    assert (status, problem["code"]) == (400, "invalid_request")
    assert acts.made == []


async def test_what_was_never_pushed_is_unknown(client: Client) -> None:
    body = {"release": "newest", "reason": "because", "changed_by": "ada"}
    status, problem = await ask(client, "POST", PROMOTE, body)
    assert (status, problem["code"]) == (404, "unknown_release")
    assert "old, new" in problem["detail"]


async def test_what_could_not_serve_is_refused(client: Client, acts: Acts) -> None:
    acts.misfit = True
    status, problem = await ask(
        client, "POST", PROMOTE, {"release": "new", "reason": "it is better", "changed_by": "ada"}
    )
    assert (status, problem["code"]) == (422, "mismatched_release")


@pytest.mark.parametrize("tokens", [{"grace": Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.MODELS_READ}))}])
async def test_who_may_look_may_not_promote(client: Client, acts: Acts) -> None:
    holder = {"Authorization": f"Bearer {SECRET}"}
    assert (await ask(client, "GET", "/api/v1/models"))[0] == 401
    assert (await ask(client, "GET", "/api/v1/models", **holder))[0] == 200
    assert (await ask(client, "POST", PROMOTE, {"release": "new", "reason": "because"}, **holder))[0] == 403
    assert acts.made == []


@pytest.mark.parametrize("tokens", [{"grace": Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.MODELS_WRITE}))}])
async def test_a_token_says_who_it_was(client: Client, acts: Acts) -> None:
    holder = {"Authorization": f"Bearer {SECRET}"}
    body = {"release": "new", "reason": "because"}
    assert (await ask(client, "POST", PROMOTE, body | {"changed_by": "ada"}, **holder))[0] == 400
    assert (await ask(client, "POST", PROMOTE, body, **holder))[0] == 200
    assert [made[3] for made in acts.made] == ["grace"]
