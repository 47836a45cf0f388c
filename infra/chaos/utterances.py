"""Utterances to put on a broker: texts of ours, ids of their own, keyed by conversation."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, NamedTuple

from models.catalogue import default_catalogue_path, load_catalogue
from models.samples import load_sample_conversations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CONVERSATION = 7


class Record(NamedTuple):
    """What a producer sends."""

    value: bytes | None
    key: bytes | str | None
    headers: Sequence[tuple[str, bytes | str | None]] = ()


def our_texts() -> list[str]:
    """Return every example of the default catalogue, and every sample utterance."""
    catalogue = load_catalogue(default_catalogue_path())
    examples = [example for intent in catalogue.intents for example in intent.examples]
    said = [said.text for conversation in load_sample_conversations() for said in conversation.utterances]
    return [*examples, *catalogue.out_of_scope, *said]


def utterances(count: int, texts: Sequence[str] | None = None) -> Iterator[Record]:
    """Yield utterances with distinct ids; every other one is a CloudEvent in binary mode."""
    said = itertools.cycle(texts or our_texts())
    for number, text in zip(range(count), said, strict=False):
        conversation = f"conversation-{number // _CONVERSATION}"
        event = {"text": text, "user_id": f"user-{number % 997}", "conversation_id": conversation}
        if number % 2:
            yield Record(json.dumps(event | {"id": f"utterance-{number}"}).encode(), conversation)
        else:
            attributes = [("ce_id", f"utterance-{number}"), ("ce_type", "intentstream.utterance.v1")]
            attributes += [("ce_specversion", "1.0"), ("ce_source", "test"), ("content-type", "application/json")]
            yield Record(json.dumps(event).encode(), conversation, attributes)
