"""The checker's books find each way in which a promise can be broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.chaos.books import Books, event_digest

TOPIC = "said"
DONE = {0: 10, 1: 10}
KEY = b"conversation"


@pytest.fixture
def books() -> Books:
    """Three utterances on partition 0, of which the last two are of one conversation."""
    books = Books(TOPIC)
    for offset in range(3):
        books.utterance((0, offset), KEY if offset else None, b"text %d" % offset)
    return books


def answer(books: Books, offset: int, *, partition: int = 0, key: bytes | None = KEY, at: float = 0.0) -> None:
    said: dict[str, Any] = {
        "id": f"{TOPIC}/{partition}/{offset}",
        "source": {"topic": TOPIC, "partition": 0, "offset": offset},
    }
    books.result(partition, key, json.dumps(said).encode(), at)


def bury(books: Books, offset: int, *, value: bytes, topic: str = TOPIC) -> None:
    place = {"topic": topic, "partition": "0", "offset": str(offset)}
    books.dead_letter(KEY, value, [(f"__connect.errors.{name}", said.encode()) for name, said in place.items()])


def faults(books: Books) -> dict[str, int]:
    found = {
        "lost": books.lost(DONE),
        "unanswered": books.unanswered(DONE),
        "duplicated": books.duplicated,
        "misplaced": books.misplaced,
        "disordered": books.disordered,
        "altered": books.altered,
        "invented": books.invented,
    }
    return {name: count for name, count in found.items() if count}


def test_one_result_or_one_dead_letter_each_is_as_promised(books: Books) -> None:
    answer(books, 0)
    bury(books, 1, value=b"text 1")
    answer(books, 2)
    assert faults(books) == {}
    assert (books.utterances, books.results, books.dead_letters) == (3, 2, 1)


def test_what_the_group_is_done_with_and_nobody_answered_is_lost(books: Books) -> None:
    answer(books, 0)
    answer(books, 2)
    assert faults(books) == {"lost": 1}


def test_what_the_group_is_not_done_with_waits(books: Books) -> None:
    answer(books, 0)
    assert (books.lost({0: 1}), books.unanswered({0: 1})) == (0, 2)


@pytest.mark.parametrize("again", [lambda books: answer(books, 2), lambda books: bury(books, 2, value=b"text 2")])
def test_a_second_answer_is_one_too_many(books: Books, again: Any) -> None:
    bury(books, 0, value=b"text 0")
    books.altered = 0  # it was sent without a key
    answer(books, 1)
    answer(books, 2)
    again(books)
    assert faults(books)["duplicated"] == 1


def test_an_answer_keeps_partition_and_key(books: Books) -> None:
    answer(books, 0, partition=1)
    answer(books, 1, key=b"another")
    answer(books, 2)
    assert faults(books) == {"misplaced": 2}


def test_results_keep_the_order_of_their_utterances(books: Books) -> None:
    for offset in (0, 2, 1):
        answer(books, offset)
    assert faults(books) == {"disordered": 1}


def test_a_dead_letter_is_what_was_sent(books: Books) -> None:
    answer(books, 0)
    answer(books, 1)
    bury(books, 2, value=b"text 2, mended")
    assert faults(books) == {"altered": 1}


def test_an_answer_to_what_nobody_said_is_found(books: Books) -> None:
    for offset in range(4):
        answer(books, offset)
    assert faults(books) == {"invented": 1}


def test_dead_letters_of_other_topics_and_results_without_a_source_are_nobodys(books: Books) -> None:
    for offset in range(3):
        answer(books, offset)
    bury(books, 1, value=b"", topic="flags")
    books.result(0, b"key", b'{"id": "over-http"}', 1.0)
    assert faults(books) == {}
    assert set(books.events) >= {"over-http"}


def test_a_pause_is_the_longest_of_those_that_reach_into_a_fault(books: Books) -> None:
    for offset, at in enumerate((10.0, 11.0, 17.0)):
        answer(books, offset, at=at)
    assert books.pause(12.0, 13.0) == (11.0, 17.0)
    assert books.pause(10.2, 10.4) == (10.0, 11.0)
    assert books.pause(10.2, 13.0) == (11.0, 17.0)


def test_two_events_that_say_the_same_have_one_digest() -> None:
    assert event_digest({"a": 1, "b": 2}) == event_digest({"b": 2, "a": 1}) != event_digest({"a": 1})
