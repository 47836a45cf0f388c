"""The one answer to an utterance, how it came about, and what people are asked about it."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from msgspec import Meta, field

from schemas.events.event import Event, Identifier, KeyId, Probability, Seconds
from schemas.events.utterance import Source  # noqa: TC001 - msgspec reads it from here


class Alternative(Event, frozen=True, kw_only=True):
    """One candidate intent."""

    intent: Annotated[str | None, Meta(description="`null` is out of scope.")]
    confidence: Probability


class Outcome(enum.StrEnum):
    """How one tier's turn at an utterance ended."""

    ANSWERED = "answered"
    UNSURE = "unsure"
    TIMEOUT = "timeout"
    FAILED = "failed"
    OPEN = "circuit_open"
    UNAVAILABLE = "unavailable"


class Attempt(Event, frozen=True, kw_only=True):
    """One tier's turn: what came of it, why it was left, how long it took."""

    tier: str
    outcome: Outcome
    reason: Annotated[str | None, Meta(description="Why it was left, for a person.")] = None
    seconds: Annotated[Seconds, Meta(description="Of the whole batch's call.")] = 0.0


class Timings(Event, frozen=True, kw_only=True):
    """Where an utterance's time went."""

    queue_seconds: Annotated[Seconds, Meta(description="From the record's timestamp to the start of classification.")]
    classify_seconds: Annotated[
        Seconds, Meta(description="In the chain, with those of its batch that went the same way.")
    ]
    compute_seconds: Annotated[Seconds, Meta(description="Its share of that: what it cost.")] = 0.0


class Result(Event, frozen=True, kw_only=True):
    """The one answer to an utterance, on `intents.results.v1`. It does not repeat the text."""

    id: Annotated[
        Identifier, Meta(description="Deterministic: the utterance's topic/partition/offset where it has one.")
    ]
    utterance_id: Identifier
    intent: Annotated[str | None, Meta(description="A name from the catalogue; `null` is out of scope.")]
    confidence: Probability
    alternatives: Annotated[tuple[Alternative, ...], Meta(description="The next best candidates, best first.")] = ()
    tier: Annotated[str, Meta(description="Which tier answered.")]
    tried: Annotated[tuple[Attempt, ...], Meta(description="Every tier's turn, in order.")]
    degraded: Annotated[bool, Meta(description="Whether a tier that should have answered could not.")] = False
    strategy: str
    experiment_arm: Annotated[
        str | None, Meta(description="Which arm of the running experiment the user is in, if in any.")
    ] = None
    exposures: Annotated[
        dict[str, str],
        Meta(
            description="The variant this user had of each flag under a rollout or experiment, by flag, where chance "
            "(the user's bucket) decided: those who can be compared."
        ),
    ] = field(default_factory=dict)
    release: Annotated[str, Meta(description="The model release that answered.")]
    flags_revision: Annotated[int, Meta(ge=0)] = 0
    corrections_revision: Annotated[int, Meta(ge=0)] = 0
    lesson: Annotated[
        int | None, Meta(description="The revision of the lesson that decided, where people's corrections did.")
    ] = None
    cached: bool = False
    user_id: Identifier | None = None
    conversation_id: Identifier | None = None
    source: Source | None = None
    timings: Timings


class ReviewRequest(Event, frozen=True, kw_only=True):
    """The classifier asks people: it was unsure, thinks the utterance out of scope, or chance chose it.

    On `intents.feedback.v1`.
    """

    utterance_id: Identifier
    result_id: Identifier
    reason: Literal["uncertain", "out_of_scope"]
    choices: Annotated[tuple[Alternative, ...], Meta(max_length=3, description="The best candidates, best first.")]
    user_id: Identifier | None = None
    source: Source | None = None
    sample: Annotated[
        bool,
        Meta(
            description="Chosen by chance among all utterances, for honest estimates; `reason` is `uncertain`, too, "
            "where nothing but chance asks."
        ),
    ] = False
    text: Annotated[
        str | None, Meta(description="What was said, redacted by the settings' rules; left out where they say so.")
    ] = None
    key_id: KeyId | None = None
