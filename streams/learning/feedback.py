"""Reads what stands on the feedback topic: what people say of answers, what they are asked, what is to be forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from schemas.cloudevents import json_fault
from schemas.errors import InvalidEventError
from schemas.events import CE_TYPES, Confirmation, Correction, ForgetRequest, ReviewRequest

if TYPE_CHECKING:
    from schemas.cloudevents import Headers

Feedback = Correction | Confirmation | ReviewRequest

_FORGET_TYPE = CE_TYPES[ForgetRequest].encode()
_DECODERS: dict[bytes, msgspec.json.Decoder[Any]] = {
    CE_TYPES[event].encode(): msgspec.json.Decoder(event) for event in (Correction, Confirmation, ReviewRequest)
}
_requests = msgspec.json.Decoder(ForgetRequest)


class _Shape(msgspec.Struct):
    """Enough of a record without headers to tell what it is."""

    intent: msgspec.Raw = msgspec.Raw()
    choices: msgspec.Raw = msgspec.Raw()


_shapes = msgspec.json.Decoder(_Shape)


def decode_feedback(value: bytes | None, headers: Headers | None) -> Feedback:
    """Read one record of the feedback topic.

    Args:
        value: The record's value.
        headers: The record's headers; without `ce_type`, the fields tell what it is.

    Raises:
        InvalidEventError: It is no feedback. Nothing else is raised, whatever the bytes.
    """
    if value is None:
        raise InvalidEventError("null_value", "The record has no value (a tombstone); feedback needs one.")
    event_type = dict(headers or ()).get("ce_type")
    if event_type is None:
        event_type = _type_of(_decode(_shapes, value))
    if event_type not in _DECODERS:
        raise InvalidEventError("unknown_event_type", "The event's type is none that belongs here.")
    feedback: Feedback = _decode(_DECODERS[event_type], value)
    return feedback


def decode_forget_request(value: bytes | None, headers: Headers | None) -> ForgetRequest | None:
    """Read one record of the feedback topic that may ask to forget; None: it does not say that it does.

    Raises:
        InvalidEventError: It says so, and is none. Nothing else is raised, whatever the bytes.
    """
    if value is None or dict(headers or ()).get("ce_type") != _FORGET_TYPE:
        return None
    request: ForgetRequest = _decode(_requests, value)
    return request


def _decode(decoder: msgspec.json.Decoder[Any], value: bytes) -> Any:
    """Decode JSON, or say what is wrong with it."""
    try:
        return decoder.decode(value)
    except RecursionError as error:
        raise InvalidEventError("too_deep", "$ is nested too deeply.") from error
    except msgspec.ValidationError as error:
        raise InvalidEventError("invalid_value", f"{error}.") from error
    except UnicodeDecodeError:
        # Not chained: a UnicodeDecodeError carries the whole value.
        raise InvalidEventError("invalid_utf8", "A field is not UTF-8.") from None
    except msgspec.DecodeError as error:
        raise InvalidEventError("not_json", f"$ is no JSON: {json_fault(value, error)}.") from error


def _type_of(shape: _Shape) -> bytes:
    if bytes(shape.choices):
        return CE_TYPES[ReviewRequest].encode()
    return CE_TYPES[Correction if bytes(shape.intent) else Confirmation].encode()
