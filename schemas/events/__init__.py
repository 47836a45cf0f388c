"""The events on our topics. Every field's meaning stands here once; JSON Schema and AsyncAPI are generated from it.

Readers ignore fields they do not know, so that a writer may be one release ahead.
"""

from __future__ import annotations

from schemas.events.dead_letter import DeadLetter
from schemas.events.event import MAX_IDENTIFIER_CHARACTERS, Event
from schemas.events.feedback import Confirmation, Correction, ForgetRequest
from schemas.events.flag import Condition, Experiment, FlagChange, Guardrail, Prerequisite, Rollout, Rule, Variant
from schemas.events.fleet import ModelRelease, Presence
from schemas.events.lesson import Challenge, CorrectionVerdict, Lesson, Vote, Withdrawal
from schemas.events.person_key import PersonKey
from schemas.events.result import Alternative, Attempt, Outcome, Result, ReviewRequest, Timings
from schemas.events.trial import Difference, ShadowReport, Trial, TrialVerdict
from schemas.events.utterance import Source, Utterance

__all__ = [
    "CE_TYPES",
    "EVENT_TYPES",
    "MAX_IDENTIFIER_CHARACTERS",
    "Alternative",
    "Attempt",
    "Challenge",
    "Condition",
    "Confirmation",
    "Correction",
    "CorrectionVerdict",
    "DeadLetter",
    "Difference",
    "Experiment",
    "FlagChange",
    "ForgetRequest",
    "Guardrail",
    "Lesson",
    "ModelRelease",
    "Outcome",
    "PersonKey",
    "Prerequisite",
    "Presence",
    "Result",
    "ReviewRequest",
    "Rollout",
    "Rule",
    "ShadowReport",
    "Source",
    "Timings",
    "Trial",
    "TrialVerdict",
    "Utterance",
    "Variant",
    "Vote",
    "Withdrawal",
]

EVENT_TYPES: dict[str, type[Event]] = {
    "intentstream.utterance.v1": Utterance,
    "intentstream.result.v1": Result,
    "intentstream.review-request.v1": ReviewRequest,
    "intentstream.correction.v1": Correction,
    "intentstream.confirmation.v1": Confirmation,
    "intentstream.forget-request.v1": ForgetRequest,
    "intentstream.lesson.v1": Lesson,
    "intentstream.correction-verdict.v1": CorrectionVerdict,
    "intentstream.withdrawal.v1": Withdrawal,
    "intentstream.challenge.v1": Challenge,
    "intentstream.shadow-report.v1": ShadowReport,
    "intentstream.trial-verdict.v1": TrialVerdict,
    "intentstream.flag-change.v1": FlagChange,
    "intentstream.model-release.v1": ModelRelease,
    "intentstream.presence.v1": Presence,
    "intentstream.person-key.v1": PersonKey,
}
"""`ce_type` of each event that travels as CloudEvents."""

CE_TYPES: dict[type[Event], str] = {event: name for name, event in EVENT_TYPES.items()}
