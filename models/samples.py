"""Conversations to play through a pipeline that has no users yet. None of their utterances is a catalogue example."""

from __future__ import annotations

from pathlib import Path

import msgspec


class SampleUtterance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said, and the intent of the default catalogue that it has; `None` is out of scope."""

    text: str
    intent: str | None


class SampleConversation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One user's utterances, in order."""

    conversation_id: str
    user_id: str
    utterances: tuple[SampleUtterance, ...]


def load_sample_conversations() -> tuple[SampleConversation, ...]:
    """Return the sample conversations we ship, one for each line of their file."""
    encoded = Path(__file__).with_name("sample_conversations.jsonl").read_bytes()
    return tuple(msgspec.json.decode(line, type=SampleConversation) for line in encoded.splitlines())
