"""What `catalogue check` tells a catalogue's author."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from models.catalogue_check import check_catalogue

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
name: shop
intents:
  - name: order_status
    description: Where an order is.
    patterns:
      - '^track\\b'
    examples:
      - where is my order
      - track the parcel
      - has it been shipped
      - any news on the sofa I bought
      - the courier has not come yet
      - still waiting for my books
      - when did it leave the warehouse
      - tracking number please
      - did you send the lamp
      - my delivery seems to be stuck
  - name: opening_hours
    description: When a shop is open.
    examples:
      - when do you open
      - closing time today
      - open on sundays?
      - until what hour can I come by
      - are you closed for lunch
      - holiday hours
      - is the mall branch open late
      - how early may I visit
      - hours please
      - is anyone there on new year's eve
out_of_scope:
  - why is the sky blue
"""


def findings(folder: Path, content: str) -> list[tuple[int, str, str]]:
    file = folder / "catalogue.yaml"
    file.write_text(content)
    return [(finding.line, finding.severity, finding.code) for finding in check_catalogue(file)]


def test_a_good_catalogue_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD) == []


CASES = {
    "a fault that keeps it from loading": (
        "- name: opening_hours\n",
        "- name: opening_hours\n    colour: red\n",
        [(19, "error", "unknown_key")],
    ),
    "a text twice in an intent, whatever its case and punctuation": (
        "tracking number please",
        "Where is my ORDER?",
        [(15, "warning", "duplicate_example")],
    ),
    "a text in two intents": ("holiday hours", "where is my order", [(26, "error", "contradicting_example")]),
    "a text of an intent that is also out of scope": (
        "why is the sky blue",
        "Holiday hours!",
        [(32, "error", "contradicting_example")],
    ),
    "nearly the same text in two intents": (
        "is the mall branch open late",
        "any news on the sofas I bought",
        [(27, "warning", "similar_example")],
    ),
    "a pattern that claims another intent's example": (
        "closing time today",
        "track down your closing time",
        [(6, "error", "overlapping_pattern")],
    ),
    "a pattern that claims an out-of-scope example": (
        "why is the sky blue",
        "track and field results",
        [(6, "error", "overlapping_pattern")],
    ),
    "a pattern that matches none of its examples": (r"^track\b", "^trakc", [(6, "warning", "idle_pattern")]),
    "fewer than ten examples": ("      - holiday hours\n", "", [(18, "warning", "few_examples")]),
    "no description": ("    description: When a shop is open.\n", "", [(18, "warning", "no_description")]),
    "no out-of-scope examples": (
        "out_of_scope:\n  - why is the sky blue\n",
        "",
        [(1, "warning", "no_out_of_scope")],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES.keys())
def test_it_finds(tmp_path: Path, old: str, new: str, expected: list[tuple[int, str, str]]) -> None:
    assert old in GOOD
    assert findings(tmp_path, GOOD.replace(old, new)) == expected


def test_it_tells_few_examples_from_very_few(tmp_path: Path) -> None:
    content = "name: n\nintents:\n- {name: a, description: d, examples: [x, y, z, v]}\nout_of_scope: [w]\n"
    assert findings(tmp_path, content) == [(3, "warning", "very_few_examples")]


def test_it_names_the_other_place_of_a_contradiction(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(GOOD.replace("holiday hours", "where is my order"))
    (finding,) = check_catalogue(file)
    assert finding.message == "this is also an example of `order_status` on line 8; keep one of the two"


def test_it_says_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    (finding,) = check_catalogue(tmp_path / "missing.yaml")
    assert (finding.line, finding.severity, finding.code) == (1, "error", "unreadable")


def test_it_takes_seconds_for_thirty_thousand_examples(tmp_path: Path) -> None:
    words = [f"{consonant}{vowel}{ending}" for consonant in "bdfgklmnprst" for vowel in "aeiou" for ending in "lmnrstx"]
    chosen = random.Random(7)  # noqa: S311 - made-up texts
    lines = ["name: large", "out_of_scope: [nothing]", "intents:"]
    for number in range(1_000):
        lines += [f"- name: i{number}", "  description: d", "  examples:"]
        lines += ["  - " + " ".join(chosen.choices(words, k=8)) for _ in range(30)]
    started = time.process_time()
    assert findings(tmp_path, "\n".join(lines)) == []
    assert time.process_time() - started < 30
