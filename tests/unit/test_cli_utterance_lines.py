"""What `intentstream produce` reads from files of others."""

from __future__ import annotations

import io

import pytest

from infra.cli.utterance_lines import MAX_LINE_BYTES, Fault, Format, guess_format, read_utterances
from schemas.errors import InvalidEventError
from schemas.events import Utterance


def read(content: bytes, form: Format, max_text_characters: int = 100) -> list[Utterance | Fault]:
    return list(read_utterances(io.BytesIO(content), form, max_text_characters=max_text_characters))


def lines_at_fault(found: list[Utterance | Fault]) -> list[int]:
    return [each.line for each in found if isinstance(each, Fault)]


def texts(found: list[Utterance | Fault]) -> list[str]:
    return [each.text for each in found if isinstance(each, Utterance)]


def test_each_line_is_a_text_without_the_white_space_around_it() -> None:
    assert read(b"  where is it?\r\nthanks", "lines") == [Utterance(text="where is it?"), Utterance(text="thanks")]


@pytest.mark.parametrize("form", ["lines", "jsonl"])
def test_blank_lines_are_no_faults(form: Format) -> None:
    assert read(b"\n  \n\r\n", form) == []


def test_a_byte_order_mark_belongs_to_no_text() -> None:
    assert texts(read(b"\xef\xbb\xbfhello", "lines")) == ["hello"]


def test_a_line_that_is_not_utf_8_is_named_and_the_next_ones_are_read() -> None:
    found = read(b"one\n\xff\xfe\nthree\n", "lines")
    assert texts(found) == ["one", "three"]
    assert lines_at_fault(found) == [2]


def test_a_line_longer_than_the_bound_is_named_and_the_next_ones_are_read() -> None:
    found = read(b"one\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\nthree", "lines")
    assert texts(found) == ["one", "three"]
    assert lines_at_fault(found) == [2]


def test_a_text_over_the_limit_is_named_by_its_length() -> None:
    assert read(b"12345\n123456", "lines", max_text_characters=5) == [
        Utterance(text="12345"),
        Fault(2, "the text has 6 characters; at most 5 are accepted"),
    ]


def test_an_object_may_have_fields_that_no_utterance_has() -> None:
    line = b'{"text": "hi", "intent": "greeting", "user_id": "u", "conversation_id": "c", "id": "i", "locale": "en"}'
    assert read(line, "jsonl") == [Utterance(text="hi", user_id="u", conversation_id="c", id="i", locale="en")]


@pytest.mark.parametrize(
    "line", [b"{", b"[1]", b'{"text": 1}', b'{"txt": "a"}', b'{"text": ""}', b'{"text": "\xff"}', b"[" * 100_000]
)
def test_a_line_that_is_no_utterance_object_is_named_and_the_next_one_is_read(line: bytes) -> None:
    found = read(line + b'\n{"text": "good"}', "jsonl")
    assert texts(found) == ["good"]
    assert lines_at_fault(found) == [1]


def test_half_a_surrogate_pair_is_named_as_what_it_is() -> None:
    assert read(rb'{"text": "\ud800"}', "jsonl") == [Fault(1, "a \\u escape is half a surrogate pair")]


def test_a_csv_is_read_by_the_names_of_its_columns() -> None:
    content = b'intent,User_ID,text\ngreeting,u1,"hello, ""you"""\n,,bye\n'
    assert read(content, "csv") == [Utterance(text='hello, "you"', user_id="u1"), Utterance(text="bye")]


def test_a_quoted_field_may_go_over_lines_and_the_last_of_them_is_named() -> None:
    found = read(b'text,id\n"one\ntwo",1\n,2\n', "csv")
    assert texts(found) == ["one\ntwo"]
    assert lines_at_fault(found) == [4]


def test_a_csv_row_that_is_not_utf_8_is_named_and_the_next_one_is_read() -> None:
    found = read(b"text\n\xff\ngood\n", "csv")
    assert texts(found) == ["good"]
    assert lines_at_fault(found) == [2]


def test_a_csv_field_of_endless_length_is_named_and_the_rest_is_read() -> None:
    found = read(b'text\n"' + b"x" * 200_000 + b'"\ngood\n', "csv")
    assert texts(found) == ["good"]
    assert lines_at_fault(found) == [2]


def test_a_csv_without_a_column_of_texts_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="none of them is `text`"):
        read(b"utterance,intent\nhi,greeting\n", "csv")


@pytest.mark.parametrize(
    ("name", "beginning", "form"),
    [
        ("a.jsonl", b"", "jsonl"),
        ("A.NDJSON", b"", "jsonl"),
        ("a.csv", b"{", "csv"),
        ("a.txt", b"hello", "lines"),
        ("<stdin>", b' \n {"text": "hi"}', "jsonl"),
        ("<stdin>", b"\xef\xbb\xbf{}", "jsonl"),
        ("<stdin>", b"hello", "lines"),
    ],
)
def test_a_format_is_guessed_by_the_name_else_by_the_beginning(name: str, beginning: bytes, form: Format) -> None:
    assert guess_format(name, beginning) == form
