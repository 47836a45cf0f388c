"""What a user said, and where on Kafka it stood."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from schemas.events.event import Event, Identifier, KeyId, Locale


class Utterance(Event, frozen=True, kw_only=True):
    """Something a user said, as a producer publishes it on `intents.utterances.v1`."""

    text: Annotated[str, Meta(min_length=1, description="What was said.")]
    id: Annotated[
        Identifier | None, Meta(description="Set by `ce_id` if left out, else by topic, partition, offset.")
    ] = None
    user_id: Annotated[Identifier | None, Meta(description="Who said it; decides percentage rollouts.")] = None
    conversation_id: Annotated[Identifier | None, Meta(description="The exchange it belongs to; decides order.")] = None
    locale: Locale | None = None
    attributes: Annotated[dict[str, str], Meta(description="Anything else that flags may target.")] = field(
        default_factory=dict
    )
    key_id: KeyId | None = None


class Source(Event, frozen=True, kw_only=True):
    """Where on Kafka an utterance stood."""

    topic: str
    partition: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)]

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"
