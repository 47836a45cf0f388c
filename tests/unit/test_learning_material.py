"""A head is made of the catalogue, of what people say of texts, and of texts that nobody disputes."""

from __future__ import annotations

from models.catalogue import Catalogue, Intent
from models.learning.material import Material
from schemas.events import Lesson

CATALOGUE = Catalogue(
    name="c",
    intents=(Intent(name="greeting", examples=("Hello", "good day")), Intent(name="refund", examples=("money back",))),
    out_of_scope=("sing a song",),
)


def lesson(text: str, intent: str | None, revision: int = 1) -> Lesson:
    return Lesson(
        text=text, intent=intent, accepted=True, votes=(), revision=revision, changed_at="2026-01-01T00:00:00Z"
    )


def examples(catalogue: Catalogue) -> dict[str | None, tuple[str, ...]]:
    return {intent.name: intent.examples for intent in catalogue.intents} | {None: catalogue.out_of_scope}


def test_lessons_join_the_examples_of_the_intent_that_people_name() -> None:
    taught = Material(CATALOGUE, (lesson("hiya", "greeting"), lesson("nice weather", None))).taught
    assert examples(taught) == {
        "greeting": ("Hello", "good day", "hiya"),
        "refund": ("money back",),
        None: ("sing a song", "nice weather"),
    }


def test_what_people_say_of_a_text_stands_in_the_place_of_what_the_catalogue_says() -> None:
    taught = Material(CATALOGUE, (lesson("hello", "refund"),)).taught
    assert examples(taught) == {"greeting": ("good day",), "refund": ("money back", "hello"), None: ("sing a song",)}


def test_an_intent_that_the_catalogue_lacks_is_not_learnt() -> None:
    assert Material(CATALOGUE, (lesson("call me", "phone_call"),)).taught == CATALOGUE


def test_nothing_is_learnt_without_a_label_of_what_people_spoke_about() -> None:
    traffic = ("Money  BACK please", "bye", "bye", "hiya", "call me")
    material = Material(CATALOGUE, (lesson("hiya", "greeting"),), frozenset({"call me"}), traffic)
    assert material.unlabelled == ("money back please", "bye")


def test_what_is_held_out_is_nowhere_in_the_material() -> None:
    material = Material(CATALOGUE, (lesson("hiya", "greeting"),), frozenset(), ("HELLO", "bye", "hiya"))
    left = material.without({"hello", "hiya", "sing a song"})
    assert examples(left.taught) == {"greeting": ("good day",), "refund": ("money back",), None: ()}
    assert left.unlabelled == ("bye",)
