"""Logs how answers came about, for those users for whom the flag `enhanced_logging` is on; never what they said."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from schemas.cloudevents import Received
    from streams.results import Decision

_log = structlog.get_logger(__name__)

_DIGITS = 16  # hexadecimal, of 64


def log_decision(received: Received, decision: Decision) -> None:
    """Log one decision: what was answered, by whom, who was tried and why each was left, and under which flags.

    The text is told by the beginning of its SHA-256, so that the same text can be found again, and by its length.
    """
    utterance, answer = received.utterance, decision.answer
    _log.info(
        "utterance_decided",
        utterance_id=utterance.id,
        user_id=utterance.user_id,
        traceparent=received.traceparent,
        text_sha256=hashlib.sha256(utterance.text.encode(errors="surrogatepass")).hexdigest()[:_DIGITS],
        text_characters=len(utterance.text),
        intent=answer.intent,
        confidence=round(answer.confidence, 4),
        tier=answer.tier,
        tried=[f"{attempt.tier}: {attempt.outcome.value} ({attempt.reason or 'sure'})" for attempt in answer.tried],
        degraded=answer.degraded,
        cached=answer.cached,
        strategy=decision.strategy,
        experiment_arm=decision.experiment_arm,
        exposures=decision.exposures,
        release=decision.release,
        flags_revision=decision.flags_revision,
    )
