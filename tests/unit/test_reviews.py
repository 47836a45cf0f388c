"""What people are asked about, how much of it, and what they see of the text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from pydantic import ValidationError

from schemas.cloudevents import Received
from schemas.events import Alternative, Result, ReviewRequest, Timings, Utterance
from schemas.settings import Review
from streams.reviews import Allowance, Reviews

if TYPE_CHECKING:
    from streams.batches import Outgoing

NOW = 1_795_000_000.0
CHANCE_ALONE = {"most_per_second": 0.0}
NO_CHANCE = {"sample_share": 0.0}


class Desk:
    """Reviews, what they ask, and what was counted."""

    def __init__(self, **settings: Any) -> None:
        self.asked: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._reviews = Reviews(Review(**settings), 0.5, self)

    def review_asked(self, reason: str) -> None:
        self.asked[reason] += 1

    def review_dropped(self, reason: str) -> None:
        self.dropped[reason] += 1

    def ask(
        self,
        number: int = 0,
        *,
        intent: str | None = "refund",
        confidence: float = 0.9,
        at: float = NOW,
        text: str = "money back",
        lesson: int | None = None,
        below: float | None = None,
    ) -> ReviewRequest | None:
        utterance = Utterance(text=text, id=f"u{number}")
        others = tuple(Alternative(intent=name, confidence=0.01) for name in ("a", "b", "c"))
        result = Result(
            id=f"r{number}",
            utterance_id=f"u{number}",
            intent=intent,
            confidence=confidence,
            alternatives=others,
            tier="rules",
            tried=(),
            strategy="adaptive",
            release="one",
            lesson=lesson,
            timings=Timings(queue_seconds=0, classify_seconds=0),
        )
        received = Received(utterance)
        asked = self._reviews.ask(result, received, at, below=below)
        written: list[Outgoing] = self._reviews.encode(
            [] if asked is None else [(asked, received)], "2026-11-23T09:00:00Z"
        )
        assert len(written) <= 1
        return msgspec.json.decode(written[0].value or b"", type=ReviewRequest) if written else None


def test_people_are_asked_about_what_is_unsure_or_out_of_scope_with_the_three_likeliest() -> None:
    desk = Desk(**NO_CHANCE)
    unsure, outside = desk.ask(confidence=0.4), desk.ask(intent=None)
    assert unsure is not None
    assert outside is not None
    assert (unsure.reason, outside.reason) == ("uncertain", "out_of_scope")
    assert [choice.intent for choice in unsure.choices] == ["refund", "a", "b"]
    assert desk.ask() is None
    assert desk.ask(confidence=0.4, lesson=3) is None
    assert desk.ask(confidence=0.4, below=0.3) is None
    assert desk.asked == {"uncertain": 1, "out_of_scope": 1}


def test_chance_picks_its_share_whatever_the_answer_and_the_same_again() -> None:
    def picked() -> set[int]:
        desk = Desk(sample_share=0.1, **CHANCE_ALONE)
        return {number for number in range(4_000) if (request := desk.ask(number)) is not None and request.sample}

    first = picked()
    assert 300 < len(first) < 500
    assert picked() == first


def test_what_chance_picks_is_marked_even_where_people_are_asked_anyway() -> None:
    desk = Desk(sample_share=1.0)
    request = desk.ask(intent=None)
    assert request is not None
    assert (request.sample, request.reason) == (True, "out_of_scope")
    assert desk.asked == {"out_of_scope": 1}


def test_more_than_the_allowance_is_dropped_and_counted_but_for_what_chance_picks() -> None:
    desk = Desk(most_per_second=1.0, sample_share=0.01)
    requests = [desk.ask(number, confidence=0.1) for number in range(2_000)]
    chosen = sum(request is not None and request.sample for request in requests)
    assert chosen > 0
    assert desk.asked == {"uncertain": 10 + chosen}
    assert desk.dropped == {"uncertain": 1_990 - chosen}


def test_the_allowance_grows_with_the_streams_time() -> None:
    allowance = Allowance(2.0)
    assert sum(allowance.take(NOW - 100) for _ in range(50)) == 20
    assert [allowance.take(NOW - 99) for _ in range(3)] == [True, True, False]
    assert allowance.take(NOW - 500) is False
    assert sum(allowance.take(NOW) for _ in range(50)) == 20


def test_a_timestamp_of_the_future_does_not_stop_the_clock() -> None:
    clock = [NOW]
    allowance = Allowance(1.0, lambda: clock[0])
    assert sum(allowance.take(NOW + 10**9) for _ in range(50)) == 10
    clock[0] += 3
    assert sum(allowance.take(NOW + 3) for _ in range(50)) == 3


def test_a_small_allowance_is_one_now_and_then_and_none_is_none() -> None:
    assert [Allowance(0.01).take(NOW), Allowance(0.0).take(NOW)] == [True, False]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("mail ada@example.org please", "mail [email] please"),
        ("my card is 4111 1111 1111 1111.", "my card is [number]."),
        ("call +41 (0)79 123-45-67", "call +[number]"),
        ("a table for 4 at 19:30", "a table for 4 at 19:30"),
    ],
)
def test_addresses_and_long_numbers_are_taken_out_of_the_text(text: str, seen: str) -> None:
    request = Desk(**NO_CHANCE).ask(intent=None, text=text)
    assert request is not None
    assert request.text == seen


def test_rules_are_the_settings_and_replacements_are_meant_literally() -> None:
    request = Desk(redactions=(("mon(e)y", r"\1"), ("back", "[x]"))).ask(intent=None)
    assert request is not None
    assert request.text == r"\1 [x]"


def test_without_texts_there_is_none() -> None:
    request = Desk(text=False).ask(intent=None)
    assert request is not None
    assert request.text is None


@pytest.mark.parametrize(
    "rules", [(("(", "x"),), (("a*", "x"),), (("a" * 201, "x"),), (("a", "x" * 41),), (("a", "x"),) * 17]
)
def test_rules_that_cannot_be_used_are_refused(rules: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValidationError):
        Review(redactions=rules)
