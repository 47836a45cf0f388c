"""A record that could not be processed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from schemas.events.event import Event
from schemas.events.utterance import Source  # noqa: TC001 - msgspec reads it from here


class DeadLetter(Event, frozen=True, kw_only=True):
    """A record that could not be processed, as people and programs are shown it.

    On `intents.deadletter.v1` itself stand the original key, value and headers, byte for byte; what is said here
    besides them travels in Kafka Connect's `__connect.errors.*` headers.
    """

    position: Annotated[Source, Meta(description="Where the dead letter stands.")]
    source: Annotated[Source | None, Meta(description="Where the record stood that could not be processed.")]
    code: Annotated[str, Meta(description="A stable word for the kind of fault.")]
    reason: Annotated[str, Meta(description="What was wrong, for a person.")]
    failed_at: Annotated[str | None, Meta(description="RFC 3339, UTC.")] = None
    key: Annotated[bytes | None, Meta(description="Base64.")] = None
    value: Annotated[bytes | None, Meta(description="Base64.")] = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
