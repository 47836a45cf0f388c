"""What is read as an utterance, what is refused and with which word, and what our own events' headers look like."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import Headers, Received, decode_utterance, event_headers, partition_key
from schemas.errors import InvalidEventError
from schemas.events import Source, Utterance

SOURCE = Source(topic="intents.utterances.v1", partition=3, offset=41)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BINARY: Headers = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"event-1"),
    ("ce_type", b"intentstream.utterance.v1"),
    ("ce_source", b"/phone"),
    ("ce_time", b"2026-01-02T03:04:05.678Z"),
    ("content-type", b"application/json"),
    ("traceparent", TRACEPARENT.encode()),
]
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json")]
SECRET = "my-secret-words"  # noqa: S105 - what must not show up in a message


def decode(value: bytes | None, headers: Headers | None = None) -> Received:
    return decode_utterance(value, headers, SOURCE, max_text_characters=100)


def refusal(value: bytes | None, headers: Headers | None = None) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as refused:
        decode(value, headers)
    return refused.value


def replace(name: str, value: bytes | None) -> Headers:
    return [(key, value if key == name else old) for key, old in BINARY]


def envelope(**changes: object) -> bytes:
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": "event-2",
        "type": "intentstream.utterance.v1",
        "source": "/phone",
        "time": "2026-01-02T03:04:05Z",
        "data": {"text": "hello", "id": "payload"},
    }
    return json.dumps({name: value for name, value in (event | changes).items() if value is not None}).encode()


def test_bare_json_takes_its_id_from_where_it_stands() -> None:
    received = decode(b'{"text": "hello"}')
    assert received == Received(Utterance(text="hello", id="intents.utterances.v1/3/41"))


def test_bare_json_keeps_the_id_it_names() -> None:
    assert decode(b'{"text": "hello", "id": "mine"}', []).utterance.id == "mine"


def test_every_field_of_an_utterance_is_read() -> None:
    utterance = Utterance(
        text="hello", id="a", user_id="u", conversation_id="c", locale="en-GB", attributes={"plan": "gold"}
    )
    assert decode(msgspec.json.encode(utterance)).utterance == utterance


def test_binary_mode_takes_id_trace_and_time_from_headers() -> None:
    received = decode(b'{"text": "hello", "id": "payload"}', BINARY)
    assert received.utterance == Utterance(text="hello", id="event-1")
    assert received.traceparent == TRACEPARENT
    assert received.time == "2026-01-02T03:04:05.678Z"


def test_the_last_of_repeated_headers_counts() -> None:
    assert decode(b'{"text": "hello"}', [*BINARY, ("ce_id", b"later")]).utterance.id == "later"


def test_an_id_header_without_a_value_is_as_good_as_none() -> None:
    assert decode(b'{"text": "hello", "id": "payload"}', replace("ce_id", None)).utterance.id == "payload"


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/cloudevents+json",
        b"application/cloudevents+json; charset=utf-8",
        b'Application/CloudEvents+JSON ;profile=x; Charset="UTF-8"',
    ],
)
def test_structured_mode_is_told_by_its_content_type(content_type: bytes) -> None:
    received = decode(envelope(traceparent=TRACEPARENT), [("content-type", content_type)])
    assert received.utterance == Utterance(text="hello", id="event-2")
    assert received.traceparent == TRACEPARENT
    assert received.time == "2026-01-02T03:04:05Z"


def test_structured_mode_reads_base64_too() -> None:
    value = envelope(data=None, data_base64=base64.b64encode(b'{"text": "hello"}').decode())
    assert decode(value, STRUCTURED).utterance.text == "hello"


@pytest.mark.parametrize("content_type", [b"application/json;charset=UTF-8", b"application/vnd.acme.chat+json", b""])
def test_other_names_of_json_are_read(content_type: bytes) -> None:
    if content_type:
        assert decode(b'{"text": "hello"}', [("content-type", content_type)]).utterance.text == "hello"
    else:
        assert refusal(b'{"text": "hello"}', [("content-type", content_type)]).code == "unknown_content_type"


def test_one_byte_order_mark_is_passed_over() -> None:
    assert decode(b'\xef\xbb\xbf{"text": "hello"}').utterance.text == "hello"
    assert refusal(b'\xef\xbb\xbf\xef\xbb\xbf{"text": "hello"}').code == "not_json"


@pytest.mark.parametrize("end", [rb'\ud800"}', rb'\uDBFFx"}', rb'\ud800\n"}', b'\\ud800"}\n'])
def test_half_a_surrogate_pair_is_called_so(end: bytes) -> None:
    assert str(refusal(b'{"text": "hello ' + end)) == "$ is no JSON: a \\u escape is half a surrogate pair."


@pytest.mark.parametrize("end", [rb"\ud800", rb"\ud83d\ude", b"", rb"\u00", rb'\u00e9"'])
def test_what_is_truncated_is_called_so(end: bytes) -> None:
    assert str(refusal(b'{"text": "hello ' + end)) == "$ is no JSON: Input data was truncated."


def test_unknown_fields_are_passed_over_whatever_they_hold() -> None:
    value = b'{"text": "hello", "x": {"y": [1e999, %s]}}' % (b"9" * 5_000)
    assert decode(value).utterance.text == "hello"


@pytest.mark.parametrize(
    "traceparent",
    [
        b"nonsense",
        b"\xff",
        b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        TRACEPARENT.encode() + b"\n",
        None,
    ],
)
def test_a_trace_without_the_shape_w3c_gives_it_is_dropped(traceparent: bytes | None) -> None:
    assert decode(b'{"text": "hello"}', replace("traceparent", traceparent)).traceparent is None


@pytest.mark.parametrize("time", [b"yesterday", b"\xff", b"2026-01-02", "202\uff16-01-02T03:04:05Z".encode()])
def test_a_time_that_is_none_is_dropped(time: bytes) -> None:
    assert decode(b'{"text": "hello"}', replace("ce_time", time)).time is None


def test_cloudevents_own_tracing_extension_is_read() -> None:
    headers = [*BINARY[:-1], ("ce_traceparent", TRACEPARENT.encode())]
    assert decode(b'{"text": "hello"}', headers).traceparent == TRACEPARENT


VALUE_FAULTS: list[tuple[bytes | None, str]] = [
    (None, "null_value"),
    (b"", "not_json"),
    (b"hello", "not_json"),
    (b'{"text": "hello"', "not_json"),
    (b'{"text": "hello"} {}', "not_json"),
    (b'{"text": NaN}', "not_json"),
    (rb'{"text": "\ud800"}', "not_json"),
    (rb'{"text": "\udc00 and more text after it"}', "not_json"),
    (b'{"text": "\xff"}', "invalid_utf8"),
    (b'{"text": "\xed\xa0\x80"}', "invalid_utf8"),
    (b"\xff\xfe", "invalid_utf8"),
    ('{"text": "hello"}'.encode("utf-16"), "invalid_utf8"),
    (b"{}", "no_text"),
    (b'{"text": ""}', "no_text"),
    ('{"text": " \t\\n\u2003"}'.encode(), "not_json"),
    ('{"text": " \\t\\n\u2003"}'.encode(), "no_text"),
    (b'{"text": null}', "wrong_type"),
    (b'{"text": 1}', "wrong_type"),
    (b'{"text": ["hello"]}', "wrong_type"),
    (b'{"text": "hello", "user_id": 1}', "wrong_type"),
    (b'{"text": "hello", "attributes": {"a": 1}}', "wrong_type"),
    (b"[]", "wrong_type"),
    (b'"hello"', "wrong_type"),
    (b"null", "wrong_type"),
    (b'{"text": "hello", "user_id": ""}', "invalid_value"),
    (b'{"text": "hello", "id": "%s"}' % (b"x" * 513), "invalid_value"),
    (b'{"text": "%s"}' % (b"x" * 101), "text_too_long"),
    (b'{"text": "%s"}' % (b"x" * 1_000_000), "text_too_long"),
    (b'{"text": "hello", "deep": %s' % (b"[" * 100_000), "too_deep"),
]


@pytest.mark.parametrize(("value", "code"), VALUE_FAULTS)
def test_each_kind_of_fault_has_its_code(value: bytes | None, code: str) -> None:
    assert refusal(value).code == code


HEADER_FAULTS: list[tuple[Headers, str]] = [
    (replace("content-type", b"text/plain"), "unknown_content_type"),
    (replace("content-type", b"application/avro"), "unknown_content_type"),
    (replace("content-type", b"application/cloudevents-batch+json"), "unknown_content_type"),
    (replace("content-type", b"application/json; charset=latin-1"), "unknown_content_type"),
    (replace("content-type", b"\xff"), "invalid_utf8"),
    (replace("ce_specversion", b"0.3"), "unsupported_specversion"),
    (replace("ce_specversion", b"\xff"), "unsupported_specversion"),
    (replace("ce_type", b"com.example.other"), "unknown_event_type"),
    (replace("ce_type", None), "unknown_event_type"),
    (replace("ce_id", b"\xff"), "invalid_utf8"),
    (replace("ce_id", b""), "invalid_value"),
    (replace("ce_id", b"x" * 513), "invalid_value"),
]


@pytest.mark.parametrize(("headers", "code"), HEADER_FAULTS)
def test_each_kind_of_fault_in_the_headers_has_its_code(headers: Headers, code: str) -> None:
    assert refusal(b'{"text": "hello"}', headers).code == code


ENVELOPE_FAULTS: list[tuple[dict[str, object], str]] = [
    ({"specversion": "0.3"}, "unsupported_specversion"),
    ({"specversion": None}, "unsupported_specversion"),
    ({"specversion": 1.0}, "wrong_type"),
    ({"type": "com.example.other", "data": 1}, "unknown_event_type"),
    ({"datacontenttype": "text/plain"}, "unknown_content_type"),
    ({"data": None}, "no_text"),
    ({"data": {}}, "no_text"),
    ({"data": "hello"}, "wrong_type"),
    ({"data": {"text": 1}}, "wrong_type"),
    ({"data_base64": "?"}, "invalid_value"),
    ({"data_base64": "/w=="}, "invalid_utf8"),
    ({"id": ""}, "invalid_value"),
]


@pytest.mark.parametrize(("changes", "code"), ENVELOPE_FAULTS)
def test_each_kind_of_fault_in_an_envelope_has_its_code(changes: dict[str, object], code: str) -> None:
    assert refusal(envelope(**changes), STRUCTURED).code == code


def test_a_refusal_says_where_in_the_envelope() -> None:
    assert "`$.data.text`" in str(refusal(envelope(data={"text": 1}), STRUCTURED))


@pytest.mark.parametrize(
    "value",
    [
        b'{"text": "%s' % SECRET.encode(),
        b'{"text": "%s\xff"}' % SECRET.encode(),
        b'{"text": ["%s"]}' % SECRET.encode(),
        b'{"text": "%s"}' % (SECRET.encode() * 100),
        b'{"text": "a", "attributes": {"%s": 1}}' % SECRET.encode(),
        b'{"text": "a", "locale": "%s"}' % (SECRET.encode() * 100),
    ],
)
def test_a_refusal_never_repeats_what_was_said(value: bytes) -> None:
    assert SECRET not in str(refusal(value))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
utterance_like = st.fixed_dictionaries(
    {},
    optional={
        name: json_values | st.text(max_size=200)
        for name in ("text", "id", "user_id", "attributes", "specversion", "type", "data", "data_base64", "time")
    },
).map(lambda fields: json.dumps(fields).encode("utf-8", "surrogatepass"))
header_names = st.sampled_from([name for name, _ in BINARY] + ["ce_traceparent", "other"]) | st.text(max_size=10)
header_values = (
    st.none()
    | st.binary(max_size=40)
    | st.sampled_from([value for _, value in BINARY if value is not None])
    | st.sampled_from([b"application/cloudevents+json", b"application/json; charset=x"])
)


@given(
    value=st.none() | st.binary(max_size=200) | utterance_like | utterance_like.map(lambda value: value[:-3]),
    headers=st.none() | st.lists(st.tuples(header_names, header_values), max_size=10),
)
def test_whatever_arrives_is_an_utterance_or_an_invalid_event(value: bytes | None, headers: Headers | None) -> None:
    try:
        received = decode(value, headers)
    except InvalidEventError:
        return
    assert received.utterance.id
    assert received.utterance.text.strip()
    msgspec.json.encode(received.utterance)


def test_our_events_travel_in_binary_mode() -> None:
    headers = event_headers("intentstream.result.v1", "é-1", "2026-01-02T03:04:05Z", TRACEPARENT)
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": "é-1".encode(),
        "ce_type": b"intentstream.result.v1",
        "ce_source": b"intentstream",
        "ce_time": b"2026-01-02T03:04:05Z",
        "content-type": b"application/json",
        "traceparent": TRACEPARENT.encode(),
    }


def test_an_event_without_a_trace_has_no_trace_header() -> None:
    assert "traceparent" not in dict(event_headers("intentstream.result.v1", "a", "2026-01-02T03:04:05Z", None))


def test_an_utterance_of_ours_is_read_back() -> None:
    headers = event_headers("intentstream.utterance.v1", "a", "2026-01-02T03:04:05Z", TRACEPARENT)
    received = decode(b'{"text": "hello"}', list(headers))
    assert received == Received(Utterance(text="hello", id="a"), TRACEPARENT, "2026-01-02T03:04:05Z")


@pytest.mark.parametrize(
    ("utterance", "key"),
    [
        (Utterance(text="a", id="i", user_id="u", conversation_id="c"), "c"),
        (Utterance(text="a", id="i", user_id="u"), "u"),
        (Utterance(text="a", id="i"), "i"),
        (Utterance(text="a"), None),
    ],
)
def test_the_key_is_the_conversation_else_the_user_else_the_id(utterance: Utterance, key: str | None) -> None:
    assert partition_key(utterance) == key


def test_exactly_the_codes_that_are_used_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    section = page.partition("## What is refused")[2].partition("\n## ")[0]
    used = {code for _, code in [*VALUE_FAULTS, *HEADER_FAULTS, *ENVELOPE_FAULTS]}
    after_decoding = {"key_too_long", "record_too_large", "internal_error"}
    of_seals = {"sealed", "seal_broken", "key_unknown", "key_destroyed"}
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == used | after_decoding | of_seals
