"""How a catalogue's patterns are matched."""

from __future__ import annotations

from models.patterns import PatternSet


def test_every_pattern_that_matches_is_named_by_its_position() -> None:
    assert PatternSet(["order", "^where", "refund"]).matches("where is my order") == [0, 1]


def test_case_makes_no_difference() -> None:
    assert PatternSet(["ORDER"]).matches("My Order") == [0]


def test_a_text_that_nothing_matches_gets_no_positions() -> None:
    assert PatternSet(["order"]).matches("hello") == []


def test_a_set_without_patterns_matches_nothing() -> None:
    assert PatternSet([]).matches("hello") == []


def test_thousands_of_patterns_with_gaps_are_matched_in_one_pass() -> None:
    patterns = [rf"\bopen{number}\b.{{0,40}}\bdoor{number}\b" for number in range(3_000)]
    assert PatternSet(patterns).matches("please open2718 the blue door2718 and door5") == [2718]
