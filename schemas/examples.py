"""One example of each event, for the documentation, and for tests that hold types and schemas against each other."""

from __future__ import annotations

from schemas.events import (
    Alternative,
    Attempt,
    Condition,
    Confirmation,
    Correction,
    DeadLetter,
    FlagChange,
    ModelRelease,
    Outcome,
    Prerequisite,
    Presence,
    Result,
    ReviewRequest,
    Rule,
    Source,
    Timings,
    Utterance,
)

_SOURCE = Source(topic="intents.utterances.v1", partition=3, offset=41)

EXAMPLES = {
    "intentstream.utterance.v1": Utterance(
        id="8f14e45f",
        text="Please move forty euros to my savings.",
        user_id="user-7",
        conversation_id="conversation-12",
        locale="en-GB",
        attributes={"plan": "gold"},
    ),
    "intentstream.result.v1": Result(
        id="intents.utterances.v1/3/41",
        utterance_id="8f14e45f",
        intent="transfer_money",
        confidence=0.93,
        alternatives=(Alternative(intent="check_balance", confidence=0.04), Alternative(intent=None, confidence=0.01)),
        tier="zero_shot",
        tried=(
            Attempt(tier="rules", outcome=Outcome.UNSURE, reason="0.48 is less than 0.6", seconds=0.001),
            Attempt(tier="zero_shot", outcome=Outcome.ANSWERED, seconds=0.02),
        ),
        strategy="adaptive",
        release="bundled-1",
        user_id="user-7",
        conversation_id="conversation-12",
        source=_SOURCE,
        timings=Timings(queue_seconds=0.015, classify_seconds=0.021),
    ),
    "intentstream.review-request.v1": ReviewRequest(
        utterance_id="8f14e45f",
        result_id="intents.utterances.v1/3/41",
        reason="uncertain",
        choices=(Alternative(intent="transfer_money", confidence=0.41),),
        user_id="user-7",
        source=_SOURCE,
    ),
    "intentstream.correction.v1": Correction(
        utterance_id="8f14e45f",
        intent="transfer_money",
        person_id="agent-3",
        text="Please move forty euros to my savings.",
        result_id="intents.utterances.v1/3/41",
    ),
    "intentstream.confirmation.v1": Confirmation(
        utterance_id="8f14e45f", person_id="agent-3", result_id="intents.utterances.v1/3/41"
    ),
    "intentstream.flag-change.v1": FlagChange(
        name="quality_mode",
        enabled=True,
        rollout_percentage=25.0,
        salt="quality_mode",
        revision=17,
        changed_by="ada",
        reason="Trying the dear model on a quarter of the users.",
        changed_at="2026-01-02T03:04:05Z",
        rules=(Rule(conditions=(Condition(attribute="plan", operator="in", values=("gold", "platinum")),)),),
        prerequisites=(Prerequisite(flag="distilbert_model"),),
        owner="classification",
    ),
    "intentstream.model-release.v1": ModelRelease(
        name="distilbert",
        release="2026-01-02",
        location="s3://models/distilbert/2026-01-02",
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        metrics={"in_scope_accuracy": 0.966},
        released_at="2026-01-02T03:04:05Z",
    ),
    "intentstream.dead-letter.v1": DeadLetter(
        position=Source(topic="intents.deadletter.v1", partition=0, offset=7),
        source=_SOURCE,
        code="no_text",
        reason="Object missing required field `text` - at `$`.",
        failed_at="2026-01-02T03:04:05Z",
        key=b"user-7",
        value=b"{}",
        headers=(("content-type", b"application/json"),),
    ),
    "intentstream.presence.v1": Presence(
        worker_id="worker-1",
        partitions=(0, 3, 5),
        flags_revision=41,
        release="bundled-1",
        started_at="2026-11-23T09:00:00.000Z",
        seen_at="2026-11-23T09:12:31.250Z",
    ),
}
