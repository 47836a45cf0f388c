"""Turns answers into the events we publish: one result an utterance."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from schemas.cloudevents import event_headers, partition_key
from schemas.events import CE_TYPES, MAX_IDENTIFIER_CHARACTERS, Result, Source, Timings
from streams.batches import Outgoing
from streams.topics import RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.answer import Answer
    from schemas.cloudevents import Received

_encoder = msgspec.json.Encoder()
_RESULT_TYPE = CE_TYPES[Result]


class Decision(NamedTuple):
    """One utterance's answer, and what it was decided under.

    Attributes:
        exposures: The variants that chance gave the user, by flag.
        experiment_arm: Of the running experiment, where it decided the way.
        waited_seconds: For those of the batch that went other ways.
        classify_seconds: What its own way took, for all who went it together.
        compute_seconds: Its share of that.
        review_below: How sure the answer must be to need no person; None: as the settings say.
    """

    answer: Answer
    strategy: str
    release: str
    flags_revision: int = 0
    corrections_revision: int = 0
    exposures: Mapping[str, str] = MappingProxyType({})
    experiment_arm: str | None = None
    waited_seconds: float = 0.0
    classify_seconds: float = 0.0
    compute_seconds: float = 0.0
    review_below: float | None = None


def _sourceless_id(utterance_id: str) -> str:
    """Return an id that is the same each time, and no longer than an id may be."""
    derived = f"{utterance_id}/result"
    if len(derived) <= MAX_IDENTIFIER_CHARACTERS:
        return derived
    return str(uuid.uuid5(uuid.NAMESPACE_URL, derived))


def result_of(received: Received, decision: Decision, timings: Timings, source: Source | None) -> Result:
    """Return the result of one utterance; without a source, its id is derived from the utterance's."""
    utterance, answer = received.utterance, decision.answer
    utterance_id = utterance.id or ""
    return Result(
        id=str(source) if source else _sourceless_id(utterance_id),
        utterance_id=utterance_id,
        intent=answer.intent,
        confidence=answer.confidence,
        alternatives=answer.alternatives,
        tier=answer.tier,
        tried=answer.tried,
        degraded=answer.degraded,
        strategy=decision.strategy,
        experiment_arm=decision.experiment_arm,
        exposures=dict(decision.exposures),
        release=decision.release,
        flags_revision=decision.flags_revision,
        corrections_revision=decision.corrections_revision,
        lesson=answer.lesson,
        cached=answer.cached,
        user_id=utterance.user_id,
        conversation_id=utterance.conversation_id,
        source=source,
        timings=timings,
    )


def timings_of(decision: Decision, *, queue_seconds: float) -> Timings:
    """Return where an utterance's time went.

    Args:
        decision: On it.
        queue_seconds: Until its own way was begun.
    """
    return Timings(
        queue_seconds=queue_seconds,
        classify_seconds=decision.classify_seconds,
        compute_seconds=decision.compute_seconds,
    )


def encode_result(result: Result, received: Received, key: bytes | None, partition: int, time_text: str) -> Outgoing:
    """Return the record of a result: the utterance's key, or what the key should have been, and its trace."""
    if key is None:
        key = (partition_key(received.utterance) or result.id).encode()
    headers = event_headers(_RESULT_TYPE, result.id, time_text, received.traceparent)
    return Outgoing(RESULTS, _encoder.encode(result), key, partition, headers)


def timestamp(seconds: float) -> str:
    """Return Unix time as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
