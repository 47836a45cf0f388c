"""Wherever we write a person's text, it is sealed with their key; and what cannot be sealed is not written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from models.learning.lessons import lesson_key
from schemas.access import Access
from schemas.cloudevents import Received
from schemas.errors import InvalidEventError
from schemas.events import Correction, Lesson, Result, ReviewRequest, Timings, Utterance, Vote
from schemas.settings import Review
from streams.learning.feedback_route import PATH, FeedbackRoute
from streams.learning.lesson_log import read_lesson
from streams.reviews import Reviews
from streams.sink.rows import FEEDBACK_TABLE, Place, feedback_row
from streams.topics import FEEDBACK
from tests.kit.outbox import Outbox
from tests.kit.person_keys import RingOfKeys

if TYPE_CHECKING:
    from streams.privacy.person_keys import PersonKeys
    from streams.publisher import Publisher

SAID = "money back for ada"


@pytest.fixture
def ring() -> RingOfKeys:
    return RingOfKeys()


@pytest.fixture
def keys(ring: RingOfKeys) -> PersonKeys:
    return cast("PersonKeys", ring)


class Unasked:
    def review_asked(self, reason: str) -> None:
        assert reason

    def review_dropped(self, reason: str) -> None:
        raise AssertionError(reason)


def asked(keys: PersonKeys, *users: str | None) -> list[ReviewRequest]:
    reviews = Reviews(Review(sample_share=1), 0.5, Unasked(), keys)
    records = []
    for user in users:
        received = Received(Utterance(text=SAID, id="u", user_id=user))
        timings = Timings(queue_seconds=0, classify_seconds=0)
        result = Result(
            id="r", utterance_id="u", intent=None, confidence=1, tier="rules", tried=(), strategy="s", release="r",
            user_id=user, timings=timings,
        )  # fmt: skip
        review = reviews.ask(result, received, 0.0)
        assert review is not None
        records.append((review, received))
    return [msgspec.json.decode(record.value or b"", type=ReviewRequest) for record in reviews.encode(records, "2026")]


def test_what_people_are_asked_is_sealed_for_each_who_is_named(ring: RingOfKeys, keys: PersonKeys) -> None:
    adas, nobodys, bobs = asked(keys, "ada", None, "bob")
    assert (nobodys.text, nobodys.key_id) == (SAID, None)
    assert adas.key_id != bobs.key_id
    for review in (adas, bobs):
        assert ring.ring.open(str(review.key_id), str(review.text)) == SAID


def test_what_cannot_be_sealed_is_asked_without_its_text(ring: RingOfKeys, keys: PersonKeys) -> None:
    ring.away = True
    adas, nobodys = asked(keys, "ada", None)
    assert (adas.text, adas.key_id, nobodys.text) == (None, None, SAID)


async def posted(keys: PersonKeys, **more: Any) -> tuple[int, list[Correction]]:
    outbox, app = Outbox(), web.Application()
    route = FeedbackRoute(access=Access({}), publisher=cast("Publisher", outbox), max_text_characters=100, keys=keys)
    app.add_routes(route.routes())
    said = {"utterance_id": "u", "person_id": "agent", "intent": "refund", "text": SAID} | more
    async with TestClient(TestServer(app)) as client:
        answer = await client.post(PATH, json=said)
    return answer.status, [msgspec.json.decode(record.value or b"", type=Correction) for record in outbox.published]


@pytest.mark.parametrize(("more", "whose"), [({"user_id": "ada"}, "ada"), ({}, "agent")])
async def test_a_correction_is_sealed_with_the_key_of_who_spoke(
    ring: RingOfKeys, keys: PersonKeys, more: dict[str, str], whose: str
) -> None:
    status, [correction] = await posted(keys, **more)
    assert status == 201
    assert correction.key_id == ring.seal(whose, "").key_id
    assert ring.ring.open(correction.key_id, str(correction.text)) == SAID


async def test_a_correction_that_cannot_be_sealed_is_not_taken(ring: RingOfKeys, keys: PersonKeys) -> None:
    ring.away = True
    status, written = await posted(keys)
    assert (status >= 500, written) == (True, [])


def sealed_lesson(ring: RingOfKeys) -> tuple[bytes, bytes]:
    sealed = ring.seal("ada", SAID)
    vote = Vote(person_id="agent", intent="refund", at="2026", user_id="ada")
    lesson = Lesson(
        text=sealed.text, key_id=sealed.key_id, intent="refund", accepted=True, votes=(vote,), revision=1, changed_at=""
    )
    return lesson_key(SAID).encode(), msgspec.json.encode(lesson)


def test_a_sealed_lesson_is_read_until_its_key_is_destroyed_and_then_it_is_forgotten(ring: RingOfKeys) -> None:
    record = sealed_lesson(ring)
    _, lesson = read_lesson(*record, ring.opening())
    assert lesson is not None
    assert (lesson.text, lesson.key_id) == (SAID, None)
    with pytest.raises(InvalidEventError, match="no key here"):
        read_lesson(*record)
    ring.destroy("ada")
    assert read_lesson(*record, ring.opening()) == (lesson_key(SAID), None)


def test_a_row_keeps_a_sealed_text_sealed_and_knows_its_lesson_while_it_can_be_read(ring: RingOfKeys) -> None:
    sealed = ring.seal("ada", SAID)
    correction = {"utterance_id": "u", "person_id": "agent", "intent": "refund", **sealed._asdict()}
    text, lesson = (FEEDBACK_TABLE.columns.index(name) for name in ("text", "lesson"))

    def row() -> tuple[Any, ...]:
        value = json.dumps(correction).encode()
        return feedback_row(value, None, Place(FEEDBACK, 0, 1, 0), keep_text=True, open_text=ring.opening()).values

    kept = f"sealed:{sealed.key_id}:{sealed.text}"
    assert (row()[text], row()[lesson]) == (kept, lesson_key(SAID))
    ring.destroy("ada")
    assert (row()[text], row()[lesson]) == (kept, None)
