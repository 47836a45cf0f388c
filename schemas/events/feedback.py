"""What people say of answers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from schemas.events.event import Event, Identifier, KeyId


class Correction(Event, frozen=True, kw_only=True):
    """A person says what an utterance's intent really is. On `intents.feedback.v1`."""

    utterance_id: Identifier
    intent: Annotated[str | None, Meta(description="The right intent; `null` is out of scope.")]
    person_id: Annotated[Identifier, Meta(description="Who corrects; corrections count by distinct people.")]
    text: Annotated[str | None, Meta(description="The utterance's text, for learning.")] = None
    result_id: Identifier | None = None
    user_id: Annotated[Identifier | None, Meta(description="Who said the text, if not the person who corrects.")] = None
    key_id: KeyId | None = None


class Confirmation(Event, frozen=True, kw_only=True):
    """A person says that an answer was right. On `intents.feedback.v1`."""

    utterance_id: Identifier
    person_id: Identifier
    result_id: Identifier | None = None


class ForgetRequest(Event, frozen=True, kw_only=True):
    """Whatever a person's feedback taught until now is to be taken back. On `intents.feedback.v1`."""

    person_id: Annotated[Identifier, Meta(description="Whose feedback.")]
    asked_by: Annotated[Identifier, Meta(description="Who wants it so.")]
    reason: str = ""
    texts: Annotated[
        bool,
        Meta(description="Whether what others taught by this person's own texts is to go, too, and their results."),
    ] = False
