"""Who corrects an answer over HTTP is told that the broker has it, or everything that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from health.metrics import Metrics
from health.middleware import protect
from schemas import settings
from schemas.access import Access
from schemas.events import Confirmation, Correction
from schemas.tokens import Scope, Token
from streams.learning.feedback import decode_feedback
from streams.learning.feedback_route import PATH, FeedbackRoute
from streams.topics import FEEDBACK
from tests.kit.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.publisher import Publisher

Client = TestClient[web.Request, web.Application]
SECRET = "planted-secret-of-ada"  # noqa: S105 - of nobody
GOOD = {"utterance_id": "u1", "person_id": "ada", "intent": "refund", "text": "money back"}


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def tokens() -> dict[str, Token]:
    return {}


@pytest.fixture
async def client(outbox: Outbox, tokens: dict[str, Token]) -> AsyncIterator[Client]:
    app = web.Application()
    protect(app, Metrics("1.2.3"), settings.Web())
    route = FeedbackRoute(access=Access(tokens), publisher=cast("Publisher", outbox), max_text_characters=100)
    app.add_routes(route.routes())
    async with TestClient(TestServer(app)) as client:
        yield client


async def say(client: Client, body: Any, **headers: str) -> tuple[int, Any]:
    answer = await client.post(PATH, json=body, headers=headers)
    return answer.status, await answer.json()


async def test_a_correction_is_on_the_topic_before_it_is_answered(client: Client, outbox: Outbox) -> None:
    status, answer = await say(client, GOOD)
    assert (status, answer["kind"]) == (201, "correction")
    [record] = outbox.published
    assert (record.topic, record.key) == (FEEDBACK, b"u1")
    assert dict(record.headers or ())["ce_id"] == answer["id"].encode()
    said = decode_feedback(record.value, list(record.headers or ()))
    assert said == Correction(utterance_id="u1", person_id="ada", intent="refund", text="money back")


async def test_out_of_scope_is_null_and_must_be_said(client: Client, outbox: Outbox) -> None:
    assert (await say(client, GOOD | {"intent": None}))[0] == 201
    assert msgspec.json.decode(outbox.published[0].value or b"")["intent"] is None
    assert (await say(client, {name: value for name, value in GOOD.items() if name != "intent"}))[0] == 400


async def test_a_confirmation_needs_no_intent(client: Client, outbox: Outbox) -> None:
    status, answer = await say(client, {"kind": "confirmation", "utterance_id": "u1", "person_id": "ada"})
    assert (status, answer["kind"]) == (201, "confirmation")
    [record] = outbox.published
    said = decode_feedback(record.value, list(record.headers or ()))
    assert said == Confirmation(utterance_id="u1", person_id="ada")


async def test_everything_that_is_wrong_is_said_at_once_and_never_the_text(client: Client, outbox: Outbox) -> None:
    status, answer = await say(
        client, {"utterance_id": "", "intent": "not a name", "text": "planted " * 20, "result_id": 7, "extra": 1}
    )
    assert status == 400
    fields = {fault.split(":")[0] for fault in answer["faults"]}
    assert fields == {"utterance_id", "person_id", "intent", "text", "result_id", "extra"}
    assert "planted" not in str(answer)
    assert outbox.published == []


async def test_a_confirmation_that_corrects_is_refused(client: Client) -> None:
    status, answer = await say(client, GOOD | {"kind": "confirmation"})
    assert (status, len(answer["faults"])) == (400, 2)


@pytest.mark.parametrize("wrong", [{"kind": {}}, {"kind": None}, {"result_id": None}, {"utterance_id": []}])
async def test_what_is_of_no_kind_at_all_is_refused_in_words(
    client: Client, outbox: Outbox, wrong: dict[str, Any]
) -> None:
    status, answer = await say(client, GOOD | wrong)
    assert (status, len(answer["faults"]), outbox.published) == (400, 1, [])


async def test_with_the_broker_away_it_is_not_taken(client: Client, outbox: Outbox) -> None:
    outbox.broken = True
    assert (await say(client, GOOD))[0] == 503


@pytest.mark.parametrize(
    ("tokens", "status"),
    [
        ({"ada": Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.FEEDBACK_WRITE}))}, 201),
        ({"ada": Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.FLAGS_WRITE}))}, 403),
    ],
)
async def test_correcting_needs_a_scope_of_its_own(client: Client, status: int) -> None:
    assert (await say(client, GOOD))[0] == 401
    assert (await say(client, GOOD, Authorization=f"Bearer {SECRET}"))[0] == status
