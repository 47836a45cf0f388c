"""What is told of the results that are kept, over HTTP and on the command line."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - msgspec reads it from here
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from schemas.errors import IntentStreamError


class UnknownResultError(IntentStreamError):
    """No result that is kept has this id; it may be older than what is kept, or not be there yet."""

    code = "unknown_result"
    http_status = 404
    exit_code = 64


class KeptResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result, in short."""

    id: str
    answered_at: Annotated[dt.datetime, Meta(description="When the log took it.")]
    utterance_id: str
    user_id: str | None
    conversation_id: str | None
    intent: Annotated[str | None, Meta(description="`null` is out of scope.")]
    confidence: float
    tier: str
    strategy: str
    release: str
    degraded: bool


class ResultList(msgspec.Struct, frozen=True, kw_only=True):
    """Results, the newest first."""

    results: tuple[KeptResult, ...]


class KeptFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """What was said or asked of a result."""

    said_at: dt.datetime
    kind: Annotated[str, Meta(description="`correction`, `confirmation` or `review_request`.")]
    person_id: str | None
    intent: Annotated[str | None, Meta(description="Of a correction: what is right; `null` is out of scope.")]


class ResultDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A result as it stands on the log, and what was said of it."""

    answered_at: dt.datetime
    result: Annotated[dict[str, Any], Meta(description="The event.")]
    feedback: Annotated[tuple[KeptFeedback, ...], Meta(description="The first first.")]


class IntentDay(msgspec.Struct, frozen=True, kw_only=True):
    """One intent on one day."""

    day: dt.date
    intent: Annotated[str | None, Meta(description="`null` is out of scope.")]
    results: int
    mean_confidence: float


class IntentInsights(msgspec.Struct, frozen=True, kw_only=True):
    """How often each intent was answered and how surely, by day: what drifts is seen here."""

    intents: Annotated[tuple[IntentDay, ...], Meta(description="By day, the most frequent first.")]


class AccuracyDay(msgspec.Struct, frozen=True, kw_only=True):
    """What people said of one day's answers."""

    day: dt.date
    intent: Annotated[str | None, Meta(description="What was answered; `null` is out of scope.")]
    judged: Annotated[int, Meta(description="Answers that people spoke about.")]
    right: Annotated[int, Meta(description="Of these, those that the last one to speak about called right.")]
    accuracy: float


class AccuracyInsights(msgspec.Struct, frozen=True, kw_only=True):
    """How often people called answers right. They look where they doubt, so it tells less than the whole's accuracy."""

    days: Annotated[tuple[AccuracyDay, ...], Meta(description="By day and intent.")]
