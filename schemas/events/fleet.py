"""Which workers there are, and which models they are to serve."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from schemas.events.event import Event, Identifier, Seconds
from schemas.events.trial import Trial  # noqa: TC001 - msgspec reads it from here


class Presence(Event, frozen=True, kw_only=True):
    """A worker is there and has applied what it says, on `intents.workers.v1`; a clean stop deletes it."""

    worker_id: Identifier
    roles: tuple[str, ...] = ("classify",)
    partitions: Annotated[tuple[int, ...], Meta(description="Of `intents.utterances.v1`, assigned to it.")] = ()
    flags_revision: Annotated[int, Meta(ge=0)] = 0
    corrections_revision: Annotated[int, Meta(ge=0)] = 0
    keys_offset: Annotated[
        int | None,
        Meta(description="Of `intents.keys.v1`: the first that it has not applied; left out: it opens no texts."),
    ] = None
    release: str | None = None
    started_at: Annotated[str, Meta(description="RFC 3339, UTC; tells one life of a worker from the next.")]
    seen_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    expires_seconds: Annotated[Seconds, Meta(description="Not heard of for so long, it counts as dead.")] = 6.0


class ModelRelease(Event, frozen=True, kw_only=True):
    """A release of a model or of the catalogue, on `intents.models.v1`.

    Keyed by `name` it is the one to serve; keyed by `name/release` it is there to be served.
    """

    name: Annotated[Identifier, Meta(description="`distilbert`, `catalogue` or `zero_shot`.")]
    release: Annotated[Identifier, Meta(description="The first 12 digits of `sha256`.")]
    location: Annotated[str, Meta(description="An fsspec URL of the release's folder.")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="Of the release's manifest.")]
    metrics: dict[str, float] = field(default_factory=dict)
    released_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    state: Annotated[
        Literal["candidate", "serving"], Meta(description="Whether it is there to be served, or is to be served.")
    ] = "serving"
    revision: Annotated[int, Meta(ge=0, description="Of this log: one more than the record's before.")] = 0
    previous: Annotated[
        tuple[str, ...], Meta(description="Of the one to serve: which were before it, the latest first.")
    ] = ()
    changed_by: Annotated[str, Meta(description="Who pushed, promoted or rolled back.")] = ""
    reason: str = ""
    trial: Annotated[
        Trial | None, Meta(description="Of one that is there to be served: how it is tried beside the one that serves.")
    ] = None
