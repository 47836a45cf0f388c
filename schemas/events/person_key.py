"""A person's key, with which their texts are sealed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from schemas.events.event import Event


class PersonKey(Event, frozen=True, kw_only=True):
    """A person's latest key, on `intents.keys.v1`; of all before it nothing is left.

    The record's key is the person's name there: a hash of who they are that only who has the master key can make.
    """

    generation: Annotated[
        int, Meta(ge=0, description="Which of the person's keys, from 1; 0: of nobody, written to close a segment.")
    ]
    wrapped: Annotated[
        bytes | None, Meta(description="The key, sealed with the master key; left out: it is destroyed. Base64.")
    ] = None
    changed_at: Annotated[str, Meta(description="When it was made or destroyed. RFC 3339, UTC.")]
    changed_by: Annotated[str, Meta(description="Who made or destroyed it.")] = ""
    reason: Annotated[str, Meta(description="Why it was destroyed.")] = ""
