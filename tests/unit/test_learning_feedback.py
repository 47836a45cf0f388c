"""What stands on the feedback topic is told apart, and what is no feedback says why without a word of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from schemas.errors import InvalidEventError
from schemas.events import CE_TYPES, Confirmation, Correction, ReviewRequest
from streams.learning.feedback import decode_feedback

if TYPE_CHECKING:
    from streams.learning.feedback import Feedback

SAID: list[Feedback] = [
    Correction(utterance_id="u1", intent="refund", person_id="ada", text="money back"),
    Correction(utterance_id="u1", intent=None, person_id="ada"),
    Confirmation(utterance_id="u1", person_id="ada"),
    ReviewRequest(utterance_id="u1", result_id="r1", reason="uncertain", choices=()),
]


@pytest.mark.parametrize("said", SAID)
def test_feedback_is_read_with_its_type_in_the_headers_or_without(said: Feedback) -> None:
    value = msgspec.json.encode(said)
    assert decode_feedback(value, [("ce_type", CE_TYPES[type(said)].encode())]) == said
    assert decode_feedback(value, None) == said


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (None, None, "null_value"),
        (b"{", None, "not_json"),
        (b"[]", None, "invalid_value"),
        (b'{"planted": 1}', None, "invalid_value"),
        (b'{"utterance_id": "u", "person_id": 7, "intent": "planted"}', None, "invalid_value"),
        (b'{"utterance_id": "u", "person_id": "\xff", "intent": "planted"}', None, "invalid_utf8"),
        (b'{"choices": ' + b"[" * 100_000, None, "too_deep"),
        (b'{"text": "planted"}', [("ce_type", b"intentstream.utterance.v1")], "unknown_event_type"),
    ],
)
def test_what_is_no_feedback_is_refused_and_not_quoted(
    value: bytes | None, headers: list[tuple[str, bytes | None]] | None, code: str
) -> None:
    with pytest.raises(InvalidEventError) as refused:
        decode_feedback(value, headers)
    assert refused.value.code == code
    assert "planted" not in str(refused.value)
