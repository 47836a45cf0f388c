"""Records that are no utterances, of every kind we could think of that is not large."""

from __future__ import annotations

import json

from infra.chaos.utterances import Record

MARK = "opensesame"
"""Stands in every hostile text, so that a log which repeats one is found out."""

_TYPE = ("ce_type", "intentstream.utterance.v1")
_STRUCTURED = ("content-type", "application/cloudevents+json")
_GOOD = json.dumps({"text": f"{MARK} good"}).encode()


def small_kinds() -> list[Record]:
    """Return one record of every kind that is not large."""
    values = [
        b"",
        b"{",
        MARK.encode(),
        b'{"text": "' + MARK.encode(),
        b'{"text": "%s"} trailing' % MARK.encode(),
        b"\x00\x01\x02\xff\xfe" + MARK.encode(),
        b'{"text": "%s \xff\xfe"}' % MARK.encode(),
        json.dumps({"text": f"{MARK} in another encoding: \u00e9\u00e8"}, ensure_ascii=False).encode("utf-16"),
        b'{"text": "%s \xed\xa0\x80"}' % MARK.encode(),
        b'{"text": "%s \\ud800"}' % MARK.encode(),
        b'{"text": "%s", "user_id": "\\udfff"}' % MARK.encode(),
        b"null",
        b"[]",
        b"42",
        b"NaN",
        b'"%s"' % MARK.encode(),
        json.dumps({"utterance": MARK}).encode(),
        json.dumps({"text": ""}).encode(),
        json.dumps({"text": " \t\n\u00a0\u2003"}).encode(),
        json.dumps({"text": None}).encode(),
        json.dumps({"text": 42}).encode(),
        json.dumps({"text": [MARK]}).encode(),
        json.dumps({"text": {"text": MARK}}).encode(),
        json.dumps({"text": MARK, "id": 7}).encode(),
        json.dumps({"text": MARK, "id": ""}).encode(),
        json.dumps({"text": MARK, "user_id": "u" * 513}).encode(),
        json.dumps({"text": MARK, "user_id": []}).encode(),
        json.dumps({"text": MARK, "attributes": {"a": {"b": MARK}}}).encode(),
        json.dumps({"text": MARK * 500}).encode(),
        b'{"text": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"x": ' + b'{"x":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
    ]
    records = [Record(value, f"hostile-{number}") for number, value in enumerate(values)]
    records += [
        Record(None, "tombstone"),
        Record(None, None),
        Record(b"not JSON " + MARK.encode(), None),
        Record(b"not JSON " + MARK.encode(), b"\x00\xff\xfe" + MARK.encode()),
        Record(b"not JSON " + MARK.encode(), b""),
        Record(b"not JSON", "key", [("twice", b"1"), ("twice", b"2"), ("none", None), ("empty", b""), ("", MARK)]),
        Record(b"not JSON", "key", [("bytes", b"\xff\xfe\x00"), ("\u00fc\u4e16\U0001f600", MARK)]),
        Record(b"not JSON", "key", [("__connect.errors.topic", b"elsewhere"), ("intentstream.errors.code", b"\xff")]),
        Record(b"not JSON", "key", [(f"many-{number}", MARK) for number in range(500)]),
    ]
    headers: list[list[tuple[str, bytes | str | None]]] = [
        [("content-type", "application/xml")],
        [("content-type", "application/json; charset=utf-16")],
        [("content-type", b"\xff\xfe")],
        [("content-type", b"")],
        [("content-type", "application/avro")],
        [_TYPE, ("ce_specversion", "0.3")],
        [_TYPE, ("ce_specversion", b"")],
        [_TYPE, ("ce_specversion", b"\xff")],
        [("ce_specversion", "1.0")],
        [("ce_specversion", "1.0"), ("ce_type", "another.event.v1")],
        [("ce_specversion", "1.0"), ("ce_type", None)],
        [_TYPE, ("ce_specversion", "1.0"), ("ce_id", b"\xff")],
        [_TYPE, ("ce_specversion", "1.0"), ("ce_id", "")],
        [_TYPE, ("ce_specversion", "1.0"), ("ce_id", "i" * 513)],
        [_STRUCTURED],
    ]
    records += [Record(_GOOD, "headers", each) for each in headers]
    envelope = {"specversion": "1.0", "type": _TYPE[1], "id": "1", "source": "test", "data": {"text": MARK}}
    envelopes = [
        envelope | {"specversion": "2.0"},
        envelope | {"type": "another"},
        envelope | {"data": MARK},
        envelope | {"data": None},
        envelope | {"data": {}},
        envelope | {"id": ""},
        envelope | {"datacontenttype": "text/plain"},
        envelope | {"data_base64": "*not base64*"},
        envelope | {"data_base64": "AAECAw=="},
        {"data": {"text": MARK}},
    ]
    records += [Record(json.dumps(each).encode(), "structured", [_STRUCTURED]) for each in envelopes]
    records.append(Record(b"not JSON", "structured", [_STRUCTURED]))
    return records
