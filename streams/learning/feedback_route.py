"""The HTTP route by which people correct answers, or confirm them. What becomes of it, the guard decides."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from aiohttp import web

from flags.api.reading import answer_json
from flags.api.requests import Query, json_object
from models.catalogue_source import INTENT_NAME
from schemas.cloudevents import event_headers
from schemas.errors import InvalidRequestError
from schemas.events import CE_TYPES, MAX_IDENTIFIER_CHARACTERS, Confirmation, Correction
from schemas.tokens import Scope
from streams.batches import ANY_PARTITION, Outgoing
from streams.results import timestamp
from streams.topics import FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.access import Access
    from streams.privacy.person_keys import PersonKeys
    from streams.publisher import Publisher

PATH = "/api/v1/feedback"

_FIELDS = frozenset({"kind", "utterance_id", "person_id", "result_id", "intent", "text", "user_id"})
_OF_CORRECTIONS = frozenset({"intent", "text", "user_id"})
_SHOWN_CHARACTERS = 64


class FeedbackTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The broker has it.

    Attributes:
        id: The event's.
        kind: What it is.
    """

    id: str
    kind: Literal["correction", "confirmation"]


class FeedbackRoute:
    """`POST /api/v1/feedback`.

    Args:
        access: Who may.
        publisher: Who puts it on the feedback topic.
        max_text_characters: The longest text that is taken.
        keys: Seal it; None: it is written as it is.
    """

    def __init__(
        self, *, access: Access, publisher: Publisher, max_text_characters: int, keys: PersonKeys | None = None
    ) -> None:
        self._access = access
        self._publisher = publisher
        self._max_text_characters = max_text_characters
        self._keys = keys

    def routes(self) -> list[web.RouteDef]:
        """Return what to mount."""
        return [web.post(PATH, self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        self._access.admit(request, Scope.FEEDBACK_WRITE)
        Query(request.query).rest()
        feedback = read_feedback(await json_object(request), max_text_characters=self._max_text_characters)
        if self._keys is not None and isinstance(feedback, Correction) and feedback.text is not None:
            whose = feedback.user_id or feedback.person_id
            sealed = await asyncio.to_thread(self._keys.seal, whose, feedback.text)
            feedback = msgspec.structs.replace(feedback, text=sealed.text, key_id=sealed.key_id)
        event_id = str(uuid.uuid4())
        headers = event_headers(CE_TYPES[type(feedback)], event_id, timestamp(time.time()), None)
        key = feedback.utterance_id.encode()
        await self._publisher.publish([Outgoing(FEEDBACK, msgspec.json.encode(feedback), key, ANY_PARTITION, headers)])
        kind: Literal["correction", "confirmation"] = (
            "correction" if isinstance(feedback, Correction) else "confirmation"
        )
        return answer_json(FeedbackTaken(id=event_id, kind=kind), status=201)


def read_feedback(said: Mapping[str, Any], *, max_text_characters: int) -> Correction | Confirmation:
    """Return what somebody says.

    Raises:
        InvalidRequestError: Everything that is wrong with it.
    """
    faults = [f"{field[:_SHOWN_CHARACTERS]}: there is no such field." for field in said if field not in _FIELDS]
    kind = said.get("kind", "correction")
    if kind not in ("correction", "confirmation"):  # no set: it may be anything that JSON has
        faults.append("kind: it is correction or confirmation.")
    faults += [
        f"{field}: a confirmation has none." for field in _OF_CORRECTIONS & said.keys() if kind == "confirmation"
    ]
    for field in ("utterance_id", "person_id"):
        faults += _identifier_faults(field, said.get(field))
    for field in ("result_id", "user_id"):
        if field in said:
            faults += _identifier_faults(field, said[field])
    if kind != "confirmation":
        faults += [*_intent_faults(said), *_text_faults(said.get("text"), max_text_characters)]
    if faults:
        raise InvalidRequestError(*faults)
    who = {field: said.get(field) for field in ("utterance_id", "person_id", "result_id")}
    if kind == "confirmation":
        return msgspec.convert(who, Confirmation)
    what = {field: said.get(field) for field in ("intent", "text", "user_id")}
    return msgspec.convert(who | what, Correction)


def _identifier_faults(field: str, value: Any) -> list[str]:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_IDENTIFIER_CHARACTERS:
        return [f"{field}: a text of 1 to {MAX_IDENTIFIER_CHARACTERS} characters is needed."]
    return []


def _intent_faults(said: Mapping[str, Any]) -> list[str]:
    if "intent" not in said:
        return ["intent: say which is right; null is out of scope."]
    intent = said["intent"]
    if intent is not None and not (isinstance(intent, str) and INTENT_NAME.fullmatch(intent)):
        return ["intent: it is no name of an intent."]
    return []


def _text_faults(text: Any, most: int) -> list[str]:
    if not isinstance(text, str) or not text.strip():
        return ["text: the utterance's text is needed, or nothing can be learnt from it."]
    return [f"text: it has more than {most} characters."] if len(text) > most else []
