"""A dead letter is the original, byte for byte, with why; and the original can be taken out of it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from schemas.deadletter import dead_letter_headers, original_headers, parse_dead_letter
from schemas.errors import InvalidEventError
from schemas.events import Source

if TYPE_CHECKING:
    from schemas.cloudevents import Headers

SOURCE = Source(topic="intents.utterances.v1", partition=3, offset=41)
POSITION = Source(topic="intents.deadletter.v1", partition=0, offset=7)
any_headers = st.lists(
    st.tuples(
        st.sampled_from(["a", "__connect.errors.topic", "intentstream.errors.code"]) | st.text(),
        st.none() | st.binary(),
    )
)


def bury(headers: Headers | None, source: Source = SOURCE, code: str = "not_json") -> Headers:
    return dead_letter_headers(
        headers,
        source,
        InvalidEventError(code, "$ is no JSON."),
        failed_by="schemas.cloudevents.decode_utterance",
        worker_id="worker-1",
        time_text="2026-01-02T03:04:05Z",
    )


def test_headers_are_those_of_kafka_connect() -> None:
    assert bury(None) == [
        ("__connect.errors.topic", b"intents.utterances.v1"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"41"),
        ("__connect.errors.connector.name", b"intentstream"),
        ("__connect.errors.task.id", b"worker-1"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.class.name", b"schemas.cloudevents.decode_utterance"),
        ("__connect.errors.exception.class.name", b"schemas.errors.InvalidEventError"),
        ("__connect.errors.exception.message", b"$ is no JSON."),
        ("intentstream.errors.code", b"not_json"),
        ("intentstream.errors.time", b"2026-01-02T03:04:05Z"),
    ]


def test_a_dead_letter_is_read_back() -> None:
    letter = parse_dead_letter(POSITION, b"key", b"\xff", bury([("a", b"1"), ("a", None)]))
    assert (letter.position, letter.source) == (POSITION, SOURCE)
    assert (letter.code, letter.reason, letter.failed_at) == ("not_json", "$ is no JSON.", "2026-01-02T03:04:05Z")
    assert (letter.key, letter.value, letter.headers) == (b"key", b"\xff", (("a", b"1"), ("a", None)))


@given(any_headers)
def test_original_headers_come_out_as_they_went_in(headers: Headers) -> None:
    assert bury(headers)[: len(headers)] == headers
    assert original_headers(bury(headers)) == original_headers(headers)


def test_a_record_that_died_twice_names_its_second_death_and_keeps_only_its_own_headers() -> None:
    again = Source(topic="intents.utterances.v1", partition=3, offset=99)
    letter = parse_dead_letter(POSITION, None, b"", bury(bury([("a", b"1")]), again, "no_text"))
    assert (letter.source, letter.code, letter.headers) == (again, "no_text", (("a", b"1"),))


def test_what_another_dead_letter_queue_wrote_stays() -> None:
    foreign: Headers = [
        (name, b"other" if name.endswith("connector.name") else value) for name, value in bury([("a", b"1")])
    ]
    assert original_headers(bury(foreign)) == foreign


@given(any_headers | st.none())
def test_any_record_can_be_read_as_a_dead_letter(headers: Headers | None) -> None:
    letter = parse_dead_letter(POSITION, None, None, headers)
    assert letter.position == POSITION


def test_a_record_that_is_not_ours_has_no_known_source() -> None:
    letter = parse_dead_letter(POSITION, None, None, [("__connect.errors.topic", b"t")])
    assert (letter.source, letter.code) == (None, "unknown")


def test_an_offset_that_is_no_number_is_no_source() -> None:
    for wrong in (b"-1", b"\xb2", b"9" * 5_000, b"", None):
        headers: Headers = [(name, wrong if name == "__connect.errors.offset" else value) for name, value in bury(None)]
        assert parse_dead_letter(POSITION, None, None, headers).source is None
