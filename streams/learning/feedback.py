"""Reads what stands on the feedback topic: a correction, or something that only people, or nobody, must act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from schemas.cloudevents import json_fault
from schemas.errors import InvalidEventError
from schemas.events import CE_TYPES, Confirmation, Correction, ReviewRequest

if TYPE_CHECKING:
    from schemas.cloudevents import Headers

Feedback = Correction | Confirmation | ReviewRequest

_DECODERS: dict[bytes, msgspec.json.Decoder[Any]] = {
    CE_TYPES[event].encode(): msgspec.json.Decoder(event) for event in (Correction, Confirmation, ReviewRequest)
}


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
    try:
        if event_type is None:
            event_type = _type_of(_shapes.decode(value))
        if event_type not in _DECODERS:
            raise InvalidEventError("unknown_event_type", "The event's type is none that belongs here.")
        feedback: Feedback = _DECODERS[event_type].decode(value)
    except RecursionError as error:
        raise InvalidEventError("too_deep", "$ is nested too deeply.") from error
    except msgspec.ValidationError as error:
        raise InvalidEventError("invalid_value", f"{error}.") from error
    except UnicodeDecodeError:
        # Not chained: a UnicodeDecodeError carries the whole value.
        raise InvalidEventError("invalid_utf8", "A field is not UTF-8.") from None
    except msgspec.DecodeError as error:
        raise InvalidEventError("not_json", f"$ is no JSON: {json_fault(value, error)}.") from error
    return feedback


def _type_of(shape: _Shape) -> bytes:
    if bytes(shape.choices):
        return CE_TYPES[ReviewRequest].encode()
    return CE_TYPES[Correction if bytes(shape.intent) else Confirmation].encode()
