"""What was learnt from people's corrections, and what became of each."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events.event import Event, Identifier, KeyId
from schemas.events.utterance import Source  # noqa: TC001 - msgspec reads it from here


class Vote(Event, frozen=True, kw_only=True):
    """What one person said last of a text."""

    person_id: Identifier
    intent: Annotated[str | None, Meta(description="`null` is out of scope.")]
    at: Annotated[str, Meta(description="When the correction reached the log. RFC 3339, UTC.")]
    user_id: Annotated[
        Identifier | None, Meta(description="Who had said the text, if not this person; left out also where unknown.")
    ] = None


class Lesson(Event, frozen=True, kw_only=True):
    """What is known of one text from people's corrections, on `intents.corrections.v1`: its latest state."""

    text: Annotated[str, Meta(min_length=1, description="In the form that tells texts apart: NFC, lower case.")]
    intent: Annotated[str | None, Meta(description="What it means; `null` is out of scope.")]
    accepted: Annotated[bool, Meta(description="Whether it decides; `false`: it waits for more people or examples.")]
    votes: Annotated[tuple[Vote, ...], Meta(description="One of each person, the first first.")]
    revision: Annotated[int, Meta(ge=1, description="Of this log: one more than the last change of any lesson.")]
    changed_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    key_id: KeyId | None = None


class CorrectionVerdict(Event, frozen=True, kw_only=True):
    """What the guard made of one correction, on `intents.corrections-audit.v1`. It does not repeat the text."""

    verdict: Literal["accepted", "waiting", "refused"]
    code: Annotated[str, Meta(description="A stable word for the reason.")]
    reason: Annotated[str, Meta(description="The reason for a person.")]
    utterance_id: Identifier
    intent: Annotated[str | None, Meta(description="What the person says is right; `null` is out of scope.")]
    person_id: Identifier
    people: Annotated[int, Meta(ge=0, description="How many say so of this text, this one included.")] = 0
    lesson: Annotated[str | None, Meta(description="The key of what was learnt or waits; refused: none.")] = None
    revision: Annotated[int, Meta(ge=0, description="Of the corrections' log, with this correction in it.")] = 0
    source: Annotated[Source | None, Meta(description="Where the correction stands.")] = None
    judged_at: Annotated[str, Meta(description="RFC 3339, UTC.")]


class Withdrawal(Event, frozen=True, kw_only=True):
    """What became of a lesson when a person's feedback was taken back, on `intents.corrections-audit.v1`.

    One for each lesson that changed, and after them one without a `lesson` for the request as a whole.
    """

    person_id: Annotated[Identifier, Meta(description="Whose feedback was taken back.")]
    code: Annotated[str, Meta(description="`forgotten`, `kept`, `changed`, `waits`; of the whole: `done`.")]
    reason: Annotated[str, Meta(description="The reason for a person.")]
    lesson: Annotated[str | None, Meta(description="The lesson's key.")] = None
    intent: Annotated[str | None, Meta(description="What it means now; `null` is out of scope, or forgotten.")] = None
    people: Annotated[int, Meta(ge=0, description="How many others say so.")] = 0
    lessons: Annotated[int, Meta(ge=0, description="Of the whole: how many changed.")] = 0
    revision: Annotated[int, Meta(ge=0, description="Of the corrections' log, with this in it.")] = 0
    source: Annotated[Source, Meta(description="Where the request stands.")]
    asked_by: Identifier
    asked_at: Annotated[str, Meta(description="What they said until then was taken back. RFC 3339, UTC.")]
    withdrawn_at: Annotated[str, Meta(description="RFC 3339, UTC.")]


class Challenge(Event, frozen=True, kw_only=True):
    """What came of a model that corrections taught, on `intents.corrections-audit.v1`: released, or why not."""

    model: Annotated[
        Literal["zero_shot", "distilbert"],
        Meta(description="Of the tier `zero_shot`, or the fine-tuned one."),
    ] = "zero_shot"
    code: Annotated[
        str, Meta(description="`better`, `forgotten`, `no_better`, `worse_elsewhere` or `intent_collapses`.")
    ]
    reason: Annotated[str, Meta(description="The reason for a person.")]
    release: Annotated[str | None, Meta(description="If one was made: promoted, or to be tried first.")] = None
    catalogue: Annotated[str, Meta(description="Digest of the catalogue that it learnt.")]
    lessons: Annotated[int, Meta(ge=0, description="The revision of the corrections' log that it has learnt.")]
    corrections: Annotated[int, Meta(ge=0, description="How many corrections it has learnt.")]
    traffic: Annotated[int, Meta(ge=0, description="How many utterances without a label it has learnt from, too.")]
    texts: Annotated[int, Meta(ge=0, description="How many held-out texts it was judged by.")]
    champion: Annotated[int, Meta(ge=0, description="How many of them what served had right.")]
    challenger: Annotated[int, Meta(ge=0, description="How many of them it had right.")]
    p_value: Annotated[
        float, Meta(ge=0, le=1, description="How likely as good a one is by chance, if neither is better.")
    ]
    judged_by: Annotated[Identifier, Meta(description="Which worker.")]
    judged_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
