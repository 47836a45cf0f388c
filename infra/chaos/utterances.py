"""Utterances to put on a broker: texts of ours, ids of their own, keyed by conversation."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from models.catalogue import default_catalogue_path, load_catalogue
from models.samples import load_sample_conversations
from schemas.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

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


def read_texts(file: Path) -> list[str]:
    """Return a file's texts, one a line.

    Raises:
        InvalidRequestError: It has none, or is not UTF-8.
    """
    try:
        texts = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{file} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error
    if not texts:
        raise InvalidRequestError(f"{file} has no text in it; write one a line.")
    return texts


def distinct(texts: Sequence[str]) -> Iterator[str]:
    """Yield texts for ever: each as it is, then each with a number behind, and so on; no cache has seen one before."""
    yield from texts
    for turn in itertools.count(2):
        for text in texts:
            yield f"{text} {turn}"


def utterances(count: int, texts: Iterable[str] | None = None) -> Iterator[Record]:
    """Yield utterances with distinct ids; every other one is a CloudEvent in binary mode.

    Args:
        count: How many, at most.
        texts: What is said; ours, if not given. An iterator is asked once; all else begins again when it is over.
    """
    said = texts if isinstance(texts, Iterator) else itertools.cycle(texts or our_texts())
    for number, text in zip(range(count), said, strict=False):
        conversation = f"conversation-{number // _CONVERSATION}"
        event = {"text": text, "user_id": f"user-{number % 997}", "conversation_id": conversation}
        if number % 2:
            yield Record(json.dumps(event | {"id": f"utterance-{number}"}).encode(), conversation)
        else:
            attributes = [("ce_id", f"utterance-{number}"), ("ce_type", "intentstream.utterance.v1")]
            attributes += [("ce_specversion", "1.0"), ("ce_source", "test"), ("content-type", "application/json")]
            yield Record(json.dumps(event).encode(), conversation, attributes)
