"""What the catalogue that we ship, and the conversations played through it, promise."""

from __future__ import annotations

import pytest

from models.catalogue import Catalogue, default_catalogue_path, load_catalogue
from models.catalogue_check import check_catalogue
from models.samples import load_sample_conversations
from models.text import normalise


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(default_catalogue_path())


def test_it_has_at_least_forty_intents(catalogue: Catalogue) -> None:
    assert len(catalogue.intents) >= 40


def test_each_intent_has_a_description_and_at_least_thirty_examples(catalogue: Catalogue) -> None:
    assert [intent.name for intent in catalogue.intents if not intent.description or len(intent.examples) < 30] == []


def test_it_has_at_least_150_out_of_scope_examples(catalogue: Catalogue) -> None:
    assert len(catalogue.out_of_scope) >= 150


def test_its_own_check_finds_nothing() -> None:
    assert check_catalogue(default_catalogue_path()) == []


def test_there_are_at_least_forty_sample_conversations_of_two_to_six_utterances() -> None:
    lengths = [len(conversation.utterances) for conversation in load_sample_conversations()]
    assert len(lengths) >= 40
    assert {length for length in lengths if not 2 <= length <= 6} == set()


def test_sample_conversations_have_ids_of_their_own() -> None:
    ids = [conversation.conversation_id for conversation in load_sample_conversations()]
    assert len(set(ids)) == len(ids)


def test_every_intent_is_spoken_in_the_samples_and_so_is_out_of_scope(catalogue: Catalogue) -> None:
    spoken = {said.intent for conversation in load_sample_conversations() for said in conversation.utterances}
    assert spoken == {*catalogue.labels, None}


def test_no_sample_utterance_is_an_example(catalogue: Catalogue) -> None:
    examples = {words(text) for intent in catalogue.intents for text in intent.examples}
    examples |= {words(text) for text in catalogue.out_of_scope}
    said = [said.text for conversation in load_sample_conversations() for said in conversation.utterances]
    assert [text for text in said if words(text) in examples] == []


def words(text: str) -> str:
    return " ".join("".join(letter if letter.isalnum() else " " for letter in normalise(text)).split())
