"""The AsyncAPI document: which events stand on which topic, as this application sends and receives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from schemas.cloudevents import JSON, SOURCE, SPECVERSION
from schemas.deadletter import HEADER_NAMES
from schemas.events import (
    CE_TYPES,
    Challenge,
    Confirmation,
    Correction,
    CorrectionVerdict,
    FlagChange,
    ForgetRequest,
    Lesson,
    ModelRelease,
    PersonKey,
    Presence,
    Result,
    ReviewRequest,
    ShadowReport,
    TrialVerdict,
    Utterance,
    Withdrawal,
)
from schemas.examples import EXAMPLES
from schemas.settings import Topics
from streams import topics

if TYPE_CHECKING:
    from streams.topics import TopicSpec

_BINDING_VERSION = "0.5.0"
_DEAD_LETTER = "deadLetter"


class Operation(msgspec.Struct, frozen=True):
    """Something this application does on a topic."""

    name: str
    action: Literal["send", "receive"]
    topic: str
    events: tuple[type, ...]
    summary: str


OPERATIONS = (
    Operation("receiveUtterances", "receive", topics.UTTERANCES, (Utterance,), "Classify what users said."),
    Operation("sendResults", "send", topics.RESULTS, (Result,), "Answer each utterance, exactly once."),
    Operation("sendReviewRequests", "send", topics.FEEDBACK, (ReviewRequest,), "Ask people about unsure answers."),
    Operation(
        "receiveFeedback",
        "receive",
        topics.FEEDBACK,
        (Correction, Confirmation, ForgetRequest),
        "Learn from people, and take back what one taught.",
    ),
    Operation("sendFeedback", "send", topics.FEEDBACK, (Correction, Confirmation), "Pass on what came over HTTP."),
    Operation("sendLessons", "send", topics.CORRECTIONS, (Lesson,), "Say what corrections teach."),
    Operation("receiveLessons", "receive", topics.CORRECTIONS, (Lesson,), "Answer as people corrected."),
    Operation("sendVerdicts", "send", topics.CORRECTIONS_AUDIT, (CorrectionVerdict,), "Say why, of each correction."),
    Operation("sendWithdrawals", "send", topics.CORRECTIONS_AUDIT, (Withdrawal,), "Say what was taken back, and why."),
    Operation(
        "sendShadowReports",
        "send",
        topics.CORRECTIONS_AUDIT,
        (ShadowReport,),
        "Say what one would have said.",
    ),
    Operation("sendTrialVerdicts", "send", topics.CORRECTIONS_AUDIT, (TrialVerdict,), "Say what came of a candidate."),
    Operation("sendChallenges", "send", topics.CORRECTIONS_AUDIT, (Challenge,), "Say why a head was released or not."),
    Operation("sendFlagChanges", "send", topics.FLAGS, (FlagChange,), "Change flags."),
    Operation("receiveFlagChanges", "receive", topics.FLAGS, (FlagChange,), "Follow the flags."),
    Operation("sendFlagHistory", "send", topics.FLAGS_AUDIT, (FlagChange,), "Keep every change of a flag."),
    Operation("sendReleases", "send", topics.MODELS, (ModelRelease,), "Publish models."),
    Operation("receiveReleases", "receive", topics.MODELS, (ModelRelease,), "Follow the models to serve."),
    Operation("sendPresence", "send", topics.WORKERS, (Presence,), "Say that a worker is there, and what it applied."),
    Operation("receivePresence", "receive", topics.WORKERS, (Presence,), "Know which workers are there."),
    Operation("sendKeys", "send", topics.KEYS, (PersonKey,), "Give people keys, and destroy them."),
    Operation("receiveKeys", "receive", topics.KEYS, (PersonKey,), "Open what was sealed."),
    Operation("sendDeadLetters", "send", topics.DEAD_LETTERS, (), "Set aside what is no utterance."),
)


def asyncapi_document(version: str) -> dict[str, Any]:
    """Return the document, AsyncAPI 3.0; payloads refer to the JSON Schema files beside it.

    Args:
        version: Of intentstream.
    """
    specs = [spec for spec in topics.TOPICS if any(operation.topic == spec.name for operation in OPERATIONS)]
    messages = {_message_name(event): _message(event, spec.key) for spec in specs for event in spec.events}
    document = {
        "asyncapi": "3.0.0",
        "id": "urn:intentstream",
        "info": {
            "title": "intentstream",
            "version": version,
            "description": "Utterances in, intents out, exactly once. Events are CloudEvents 1.0 in binary mode.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "channels": {_channel_name(spec.name): _channel(spec) for spec in specs},
        "operations": {operation.name: _operation(operation) for operation in OPERATIONS},
        "components": {"messages": messages | {_DEAD_LETTER: _dead_letter()}},
    }
    plain: dict[str, Any] = json.loads(json.dumps(document))  # nothing shared, so that YAML needs no anchors
    return plain


def _channel(spec: TopicSpec) -> dict[str, Any]:
    settings = Topics()
    config = spec.config(settings)
    configuration: dict[str, Any] = {"cleanup.policy": [config["cleanup.policy"]]}
    configuration |= {name: int(config[name]) for name in ("retention.ms", "max.message.bytes") if name in config}
    return {
        "address": spec.name,
        "description": spec.description,
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"}
            for name in ([_message_name(event) for event in spec.events] or [_DEAD_LETTER])
        },
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions or settings.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": _BINDING_VERSION,
            }
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    channel = f"#/channels/{_channel_name(operation.topic)}"
    names = [_message_name(event) for event in operation.events] or [_DEAD_LETTER]
    return {
        "action": operation.action,
        "channel": {"$ref": channel},
        "summary": operation.summary,
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in names],
    }


def _message(event: type, key: str) -> dict[str, Any]:
    event_type = CE_TYPES[event]
    return {
        "name": event_type,
        "title": event.__name__,
        "contentType": JSON,
        "headers": _cloud_event_headers(event_type),
        "payload": {"$ref": f"./{event_type}.schema.json"},
        "bindings": _keyed_by(key),
        "examples": [{"name": "example", "payload": json.loads(msgspec.json.encode(EXAMPLES[event_type]))}],
    }


def _cloud_event_headers(event_type: str) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_type", "ce_source"],
        "properties": {
            "ce_specversion": {"const": SPECVERSION},
            "ce_id": text | {"minLength": 1},
            "ce_type": {"const": event_type},
            "ce_source": text | {"minLength": 1, "examples": [SOURCE]},
            "ce_time": text | {"format": "date-time"},
            "content-type": text | {"examples": [JSON]},
            "traceparent": text | {"description": "W3C Trace Context."},
        },
    }


def _dead_letter() -> dict[str, Any]:
    return {
        "name": "dead letter",
        "title": "Dead letter",
        "summary": "The record that could not be processed, byte for byte; its own headers stand before these.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": {name: {"type": "string"} for name in HEADER_NAMES}},
        "payload": {"type": "string", "format": "binary"},
        "bindings": _keyed_by("the original key"),
    }


def _keyed_by(key: str) -> dict[str, Any]:
    return {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": _BINDING_VERSION}}


def _channel_name(topic: str) -> str:
    """Return `flagsAudit` for `intents.flags-audit.v1`."""
    return _camel_case(topic.removeprefix("intents.").removesuffix(".v1"))


def _message_name(event: type) -> str:
    """Return `reviewRequest` for `ReviewRequest`."""
    return _camel_case(CE_TYPES[event].removeprefix("intentstream.").removesuffix(".v1"))


def _camel_case(words: str) -> str:
    first, *rest = words.split("-")
    return first + "".join(word.capitalize() for word in rest)
