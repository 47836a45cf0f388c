"""CloudEvents 1.0 on Kafka: what a record must look like to be an utterance, and the headers of what we publish.

Producers may speak the binding's binary mode (attributes in `ce_` headers, the event in the value), its structured
mode (one JSON envelope), or send the bare JSON of an utterance. Reading is on the hot path, tens of thousands of
records a second on one core: the good case is one decode and no copies, and the reasons for a refusal are worked out
only once something was refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from schemas.errors import InvalidEventError
from schemas.events import CE_TYPES, EVENT_TYPES, MAX_IDENTIFIER_CHARACTERS, Source, Utterance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas.events import Correction, Lesson

Headers = list[tuple[str, bytes | None]]
"""A record's headers as confluent-kafka gives them: in order, names may repeat."""

OpenText = Callable[[str, str], str]
"""Returns what was sealed, of a key's id and a text; see `streams.privacy.key_log.KeyFollower.opening`."""

UNSEALABLE = frozenset({"sealed", "key_destroyed", "key_unknown", "seal_broken"})
"""The codes of texts that are sealed and cannot be opened: here, any more, or ever."""

SPECVERSION = "1.0"
SOURCE = "intentstream"
JSON = "application/json"
STRUCTURED = "application/cloudevents+json"

_UTTERANCE_TYPE = CE_TYPES[Utterance]
_UTTERANCE_TYPE_BYTES = _UTTERANCE_TYPE.encode()
_SPECVERSION_BYTES = SPECVERSION.encode()
_JSON_BYTES = frozenset({None, JSON.encode(), b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_HALF_A_PAIR = re.compile(rb'\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u)[^"]*"')
_PAIR_BYTES = len(r"\ud83d\ude0")
"""msgspec looks for the second half of a pair in as many bytes; where more follow, it says itself what is wrong."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, `version-traceid-parentid-flags`; all zeros is no id."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
"""RFC 3339."""

_utterances = msgspec.json.Decoder(Utterance)


class Received(msgspec.Struct, frozen=True, gc=False):
    """An utterance and what came with it.

    Attributes:
        utterance: With its `id` always set.
        traceparent: The producer's trace, if it has the shape W3C gives it.
        time: When the producer says it happened, RFC 3339; not to be trusted further than the producer.
    """

    utterance: Utterance
    traceparent: str | None = None
    time: str | None = None


class _Envelope(msgspec.Struct, frozen=True):
    """CloudEvents' JSON format; `data` stays raw until the envelope is known to be ours."""

    specversion: str = ""
    type: str = ""
    id: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    traceparent: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    data_base64: bytes | None = None


_envelopes = msgspec.json.Decoder(_Envelope)


def decode_utterance(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]] | None,
    source: Source | str,
    *,
    max_text_characters: int,
    open_text: OpenText | None = None,
) -> Received:
    """Read one record of the utterances topic.

    Fields that no reader of ours knows are passed over unread. Where a header is repeated, the last one counts, as
    with Kafka's own `lastHeader`.

    Args:
        value: The record's value.
        headers: The record's headers.
        source: Where the record stands, or a name for what stands nowhere; its text form is the utterance's id if
            nothing else names one.
        max_text_characters: The longest text that is accepted, in Unicode code points.
        open_text: Opens what is sealed; None: nobody here can.

    Raises:
        InvalidEventError: The record is no utterance, or its text is not to be had. Nothing else is raised, whatever
            the bytes, but for what `open_text` raises besides.
    """
    if value is None:
        raise InvalidEventError("null_value", "The record has no value (a tombstone); an utterance needs one.")
    received = _read_with_headers(value, dict(headers)) if headers else Received(_decode(_utterances, value))
    utterance = received.utterance
    if utterance.key_id is not None:
        unseal(utterance, open_text)
    text = utterance.text
    if len(text) > max_text_characters:
        raise InvalidEventError(
            "text_too_long", f"$.text has {len(text)} characters; at most {max_text_characters} are accepted."
        )
    if text.isspace():
        raise InvalidEventError("no_text", "$.text is only white space.")
    if utterance.id is None:
        msgspec.structs.force_setattr(utterance, "id", str(source))  # fresh from the decoder, and nobody else's yet
    return received


def unseal(event: Utterance | Correction | Lesson, open_text: OpenText | None) -> None:
    """Have the text of an event be what was sealed; it must be fresh from its decoder, and nobody else's yet.

    Raises:
        InvalidEventError: It is not to be had.
    """
    if event.key_id is None or event.text is None:
        return
    if open_text is None:
        raise InvalidEventError("sealed", "$.text is sealed, and there is no key here to open it with.")
    msgspec.structs.force_setattr(event, "text", open_text(event.key_id, event.text))
    msgspec.structs.force_setattr(event, "key_id", None)


def event_headers(event_type: str, event_id: str, time_text: str, traceparent: str | None) -> list[tuple[str, bytes]]:
    """Return the headers of an event in binary mode.

    Args:
        event_type: A key of `schemas.events.EVENT_TYPES`.
        event_id: Unique among our events of this type.
        time_text: When it happened, RFC 3339, UTC.
        traceparent: The trace it belongs to.

    Raises:
        KeyError: There is no such event type.
    """
    headers = [
        _SPECVERSION_HEADER,
        _TYPE_HEADERS[event_type],
        _SOURCE_HEADER,
        ("ce_id", event_id.encode()),
        ("ce_time", time_text.encode()),
        _CONTENT_TYPE_HEADER,
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def partition_key(utterance: Utterance) -> str | None:
    """Return the record key that keeps a conversation in order: the conversation, else the user, else the id."""
    return utterance.conversation_id or utterance.user_id or utterance.id


_SPECVERSION_HEADER = ("ce_specversion", _SPECVERSION_BYTES)
_SOURCE_HEADER = ("ce_source", SOURCE.encode())
_CONTENT_TYPE_HEADER = ("content-type", JSON.encode())
_TYPE_HEADERS = {name: ("ce_type", name.encode()) for name in EVENT_TYPES}


def _read_with_headers(value: bytes, headers: Mapping[str, bytes | None]) -> Received:
    """Read a record that has headers, in whichever mode they say it is."""
    content_type = headers.get("content-type")
    if content_type not in _JSON_BYTES and _media_type(content_type) == STRUCTURED:
        return _read_structured(value, headers)
    version = headers.get("ce_specversion")
    if version is not None:
        _check_attributes(version, headers.get("ce_type"))
    utterance = _decode(_utterances, value)
    event_id = headers.get("ce_id")
    if event_id is not None:
        _set_id(utterance, _text(event_id, "ce_id"), "ce_id")
    return Received(utterance, _traceparent(headers), _matching(_TIME, headers.get("ce_time")))


def _read_structured(value: bytes, headers: Mapping[str, bytes | None]) -> Received:
    """Read CloudEvents' JSON format."""
    envelope = _decode(_envelopes, value)
    _check_attributes(envelope.specversion.encode(), envelope.type.encode())
    if envelope.datacontenttype is not None:
        _media_type(envelope.datacontenttype.encode())
    data = envelope.data if envelope.data_base64 is None else envelope.data_base64
    utterance = _decode(_utterances, data or b"{}", root="$.data")
    if envelope.id is not None:
        _set_id(utterance, envelope.id, "$.id")
    traceparent = _matching(_TRACEPARENT, envelope.traceparent) or _traceparent(headers)
    return Received(utterance, traceparent, _matching(_TIME, envelope.time))


def _media_type(content_type: bytes | None) -> str:
    """Return what a content type says the value is, parameters aside.

    Raises:
        InvalidEventError: It is neither JSON nor a CloudEvent in JSON, or in another encoding than UTF-8.
    """
    media_type, _, parameters = _text(content_type or b"", "content-type").lower().partition(";")
    media_type = media_type.strip()
    charset = re.search(r"(?:^|;)\s*charset\s*=\s*\"?([^\";]*)", parameters)
    if charset and charset[1].strip() not in {"utf-8", "utf8", "us-ascii"}:
        raise InvalidEventError("unknown_content_type", "The content type names another encoding; only UTF-8 is read.")
    if media_type not in {STRUCTURED, JSON} and not _is_other_json(media_type):
        raise InvalidEventError(
            "unknown_content_type", f"The content type is not one that is read; send {JSON} or {STRUCTURED}."
        )
    return media_type


def _is_other_json(media_type: str) -> bool:
    """Tell `application/vnd.example+json`, which is JSON, from CloudEvents' own formats that only look like it."""
    return media_type.endswith("+json") and not media_type.startswith("application/cloudevents")


def _check_attributes(specversion: bytes, event_type: bytes | None) -> None:
    """Refuse a CloudEvent that is not version 1.0 or not an utterance."""
    if specversion != _SPECVERSION_BYTES:
        raise InvalidEventError("unsupported_specversion", f"CloudEvents {SPECVERSION} is read, no other specversion.")
    if event_type != _UTTERANCE_TYPE_BYTES:
        raise InvalidEventError("unknown_event_type", f"The event's type is not {_UTTERANCE_TYPE}, which belongs here.")


def _set_id(utterance: Utterance, event_id: str, where: str) -> None:
    """Let the event's id stand above the payload's."""
    if not 1 <= len(event_id) <= MAX_IDENTIFIER_CHARACTERS:
        raise InvalidEventError(
            "invalid_value", f"{where} has {len(event_id)} characters; an id has 1 to {MAX_IDENTIFIER_CHARACTERS}."
        )
    msgspec.structs.force_setattr(utterance, "id", event_id)  # fresh from the decoder, and nobody else's yet


def _traceparent(headers: Mapping[str, bytes | None]) -> str | None:
    """Return the trace, from the header OpenTelemetry writes, else from CloudEvents' tracing extension."""
    return _matching(_TRACEPARENT, headers.get("traceparent") or headers.get("ce_traceparent"))


def _matching(shape: re.Pattern[str], value: bytes | str | None) -> str | None:
    """Return an optional attribute if it has its shape; one that has not is dropped: it decides nothing."""
    if value is None:
        return None
    text = value if isinstance(value, str) else value.decode("latin-1")  # never fails; the shapes are ASCII
    return text if shape.fullmatch(text) else None


def _text(value: bytes, where: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidEventError("invalid_utf8", f"The header {where} is not UTF-8.") from error


def _decode(decoder: msgspec.json.Decoder[Any], value: bytes | msgspec.Raw, root: str = "$") -> Any:
    """Decode JSON, or say what is wrong with it."""
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        plain = bytes(value)
        if plain.startswith(_BYTE_ORDER_MARK) and not plain.startswith(_BYTE_ORDER_MARK, len(_BYTE_ORDER_MARK)):
            # RFC 8259 lets a reader pass over one, and Windows tools write it.
            return _decode(decoder, plain[len(_BYTE_ORDER_MARK) :], root)
        _refuse(plain, error, root)


def _refuse(value: bytes, error: Exception, root: str) -> NoReturn:
    """Say why a value cannot be decoded: what and where, never the text itself."""
    if isinstance(error, RecursionError):
        raise InvalidEventError("too_deep", f"{root} is nested too deeply.") from error
    if isinstance(error, msgspec.ValidationError):
        fault = str(error).replace("`$", f"`{root}") if " - at " in str(error) else f"{error} - at `{root}`"
        raise InvalidEventError(_validation_code(fault, root), f"{fault}.") from error
    try:
        value.decode()
    except UnicodeDecodeError as position:
        # Not chained: a UnicodeDecodeError carries the whole value.
        raise InvalidEventError("invalid_utf8", f"Byte {position.start} of {root} is not UTF-8.") from None
    raise InvalidEventError("not_json", f"{root} is no JSON: {json_fault(value, error)}.") from error


def json_fault(value: bytes, error: Exception) -> str:
    """Say what is wrong with JSON; msgspec calls a text that ends in half a surrogate pair truncated, too."""
    if str(error) == "Input data was truncated" and _HALF_A_PAIR.search(value[-_PAIR_BYTES:]):
        return "a \\u escape is half a surrogate pair"
    return str(error)


def _validation_code(fault: str, root: str) -> str:
    """Tell the kinds of msgspec's ValidationError apart; it has them only as text, which a test holds still."""
    if "missing required field `text`" in fault or fault.endswith(f"length >= 1 - at `{root}.text`"):
        return "no_text"
    return "wrong_type" if ", got " in fault else "invalid_value"
