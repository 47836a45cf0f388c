"""The events on our topics. Every field's meaning stands here once; JSON Schema and AsyncAPI are generated from it.

Readers ignore fields they do not know, so that a writer may be one release ahead.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - msgspec reads it from here
import enum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Probability = Annotated[float, Meta(ge=0, le=1, description="A calibrated probability.")]
Seconds = Annotated[float, Meta(ge=0, description="A duration in seconds.")]
MAX_IDENTIFIER_CHARACTERS = 512
Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_IDENTIFIER_CHARACTERS)]
Locale = Annotated[str, Meta(max_length=35, description="BCP 47, such as `en-GB`.")]


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What all events have in common: immutable, named fields, defaults left out on the wire.

    The garbage collector passes over them: what is decoded or frozen refers to nothing that refers to it, and a worker
    has tens of thousands of them.
    """


class Utterance(_Event, frozen=True, kw_only=True):
    """Something a user said, as a producer publishes it on `intents.utterances.v1`."""

    text: Annotated[str, Meta(min_length=1, description="What was said.")]
    id: Annotated[
        Identifier | None, Meta(description="Set by `ce_id` if left out, else by topic, partition, offset.")
    ] = None
    user_id: Annotated[Identifier | None, Meta(description="Who said it; decides percentage rollouts.")] = None
    conversation_id: Annotated[Identifier | None, Meta(description="The exchange it belongs to; decides order.")] = None
    locale: Locale | None = None
    attributes: Annotated[dict[str, str], Meta(description="Anything else that flags may target.")] = {}


class Source(_Event, frozen=True, kw_only=True):
    """Where on Kafka an utterance stood."""

    topic: str
    partition: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)]

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Alternative(_Event, frozen=True, kw_only=True):
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


class Attempt(_Event, frozen=True, kw_only=True):
    """One tier's turn: what came of it, why it was left, how long it took."""

    tier: str
    outcome: Outcome
    reason: Annotated[str | None, Meta(description="Why it was left, for a person.")] = None
    seconds: Annotated[Seconds, Meta(description="Of the whole batch's call.")] = 0.0


class Timings(_Event, frozen=True, kw_only=True):
    """Where an utterance's time went."""

    queue_seconds: Annotated[Seconds, Meta(description="From the record's timestamp to the start of classification.")]
    classify_seconds: Annotated[
        Seconds, Meta(description="In the chain, with those of its batch that went the same way.")
    ]
    compute_seconds: Annotated[Seconds, Meta(description="Its share of that: what it cost.")] = 0.0


class Result(_Event, frozen=True, kw_only=True):
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
    ] = {}
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


class ReviewRequest(_Event, frozen=True, kw_only=True):
    """The classifier asks people: it was unsure, or thinks the utterance out of scope. On `intents.feedback.v1`."""

    utterance_id: Identifier
    result_id: Identifier
    reason: Literal["uncertain", "out_of_scope"]
    choices: Annotated[tuple[Alternative, ...], Meta(max_length=3, description="The best candidates, best first.")]
    user_id: Identifier | None = None
    source: Source | None = None


class Correction(_Event, frozen=True, kw_only=True):
    """A person says what an utterance's intent really is. On `intents.feedback.v1`."""

    utterance_id: Identifier
    intent: Annotated[str | None, Meta(description="The right intent; `null` is out of scope.")]
    person_id: Annotated[Identifier, Meta(description="Who corrects; corrections count by distinct people.")]
    text: Annotated[str | None, Meta(description="The utterance's text, for learning.")] = None
    result_id: Identifier | None = None


class Confirmation(_Event, frozen=True, kw_only=True):
    """A person says that an answer was right. On `intents.feedback.v1`."""

    utterance_id: Identifier
    person_id: Identifier
    result_id: Identifier | None = None


class Vote(_Event, frozen=True, kw_only=True):
    """What one person said last of a text."""

    person_id: Identifier
    intent: Annotated[str | None, Meta(description="`null` is out of scope.")]
    at: Annotated[str, Meta(description="When the correction reached the log. RFC 3339, UTC.")]


class Lesson(_Event, frozen=True, kw_only=True):
    """What is known of one text from people's corrections, on `intents.corrections.v1`: its latest state."""

    text: Annotated[str, Meta(min_length=1, description="In the form that tells texts apart: NFC, lower case.")]
    intent: Annotated[str | None, Meta(description="What it means; `null` is out of scope.")]
    accepted: Annotated[bool, Meta(description="Whether it decides; `false`: it waits for more people or examples.")]
    votes: Annotated[tuple[Vote, ...], Meta(description="One of each person, the first first.")]
    revision: Annotated[int, Meta(ge=1, description="Of this log: one more than the last change of any lesson.")]
    changed_at: Annotated[str, Meta(description="RFC 3339, UTC.")]


class CorrectionVerdict(_Event, frozen=True, kw_only=True):
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


class Condition(_Event, frozen=True, kw_only=True):
    """Something about a request that is true or not."""

    attribute: Annotated[str, Meta(description="`user_id`, `conversation_id`, `locale`, or any attribute's name.")] = ""
    operator: Annotated[
        str,
        Meta(
            description="`equals`, `in`, `starts_with`, `at_least`, `less_than`, `between` (both ends belong to it), "
            "`semver_equals`, `semver_at_least`, `semver_less_than`, `in_segment`."
        ),
    ]
    values: Annotated[tuple[bool | int | float | str, ...], Meta(description="What the attribute is held against.")]
    negated: Annotated[bool, Meta(description="Whether it must not be so; a missing attribute counts as not so.")] = (
        False
    )


class Rule(_Event, frozen=True, kw_only=True):
    """What those get for whom all conditions hold; the first such rule decides."""

    conditions: tuple[Condition, ...]
    enabled: Annotated[bool, Meta(description="`false`: they get what an off flag serves.")] = True
    rollout_percentage: Annotated[
        float, Meta(ge=0, le=100, description="How many of them, in steps of 0.001; the others get the flag's off.")
    ] = 100.0
    variant: Annotated[str | None, Meta(description="Which of the variants; left out: by the variants' weights.")] = (
        None
    )


class Variant(_Event, frozen=True, kw_only=True):
    """One of the values that a flag may have."""

    name: str
    value: bool | int | float | str | dict[str, Any]
    weight: Annotated[float, Meta(ge=0, le=100, description="In percent, in steps of 0.001; they add up to 100.")]


class Prerequisite(_Event, frozen=True, kw_only=True):
    """Another flag that must have a variant, or this one is off."""

    flag: str
    variant: str = "on"


class Guardrail(_Event, frozen=True, kw_only=True):
    """What may not get worse for those who have a flag than for those who have not, at the same time."""

    metric: Literal["error_rate", "degraded_rate", "p95_latency", "correction_rate"]
    tolerated_ratio: Annotated[
        float, Meta(ge=1, le=100, description="How many times as bad it may be; above that is a breach.")
    ] = 1.0


class Rollout(_Event, frozen=True, kw_only=True):
    """How a flag climbs by itself, and how far it has come."""

    steps: Annotated[tuple[float, ...], Meta(min_length=1, max_length=100, description="Percentages, rising.")]
    guardrails: Annotated[tuple[Guardrail, ...], Meta(min_length=1, max_length=4)]
    state: Literal["running", "paused", "finished", "rolled_back", "aborted"] = "running"
    step: Annotated[int, Meta(ge=0, description="Which of the steps the flag stands at, from 0.")] = 0
    entered_at: Annotated[str, Meta(description="When it came to this step, or was resumed there. RFC 3339, UTC.")]
    entered_revision: Annotated[
        int, Meta(ge=0, description="What was decided at this revision or later is evidence. 0: of this very record.")
    ] = 0
    step_seconds: Annotated[Seconds, Meta(description="The least time at a step.")] = 60.0
    step_utterances: Annotated[
        int, Meta(ge=1, description="The least utterances of those who have the flag, and of those who have not.")
    ] = 1_000
    alpha: Annotated[
        float,
        Meta(ge=1e-9, le=0.5, description="How likely, at most, it is rolled back although it does no harm."),
    ] = 0.05
    dry_run: Annotated[bool, Meta(description="Verdicts are logged and shown, and nothing is changed.")] = False


class Experiment(_Event, frozen=True, kw_only=True):
    """A comparison of routing strategies: the flag's variants are its arms, by name; their values are strategies."""

    control: Annotated[str, Meta(description="The variant that the others are held against.")]
    metric: Annotated[
        Literal["error_rate", "degraded_rate", "correction_rate", "latency", "cost"],
        Meta(description="What decides; the others are shown."),
    ] = "correction_rate"
    state: Literal["running", "concluded"] = "running"
    started_at: Annotated[str, Meta(description="When it started, or its users were last moved. RFC 3339, UTC.")]
    started_revision: Annotated[
        int, Meta(ge=0, description="What was decided at this revision or later is evidence. 0: of this very record.")
    ] = 0
    alpha: Annotated[
        float,
        Meta(ge=1e-9, le=0.5, description="How likely, at most, a verdict is given where the arms do not differ."),
    ] = 0.05
    winner: Annotated[str | None, Meta(description="Of a concluded one: the arm that everyone gets now.")] = None


class Presence(_Event, frozen=True, kw_only=True):
    """A worker is there and has applied what it says, on `intents.workers.v1`; a clean stop deletes it."""

    worker_id: Identifier
    roles: tuple[str, ...] = ("classify",)
    partitions: Annotated[tuple[int, ...], Meta(description="Of `intents.utterances.v1`, assigned to it.")] = ()
    flags_revision: Annotated[int, Meta(ge=0)] = 0
    corrections_revision: Annotated[int, Meta(ge=0)] = 0
    release: str | None = None
    started_at: Annotated[str, Meta(description="RFC 3339, UTC; tells one life of a worker from the next.")]
    seen_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    expires_seconds: Annotated[Seconds, Meta(description="Not heard of for so long, it counts as dead.")] = 6.0


class FlagChange(_Event, frozen=True, kw_only=True):
    """The latest state of one flag, on `intents.flags.v1`; every state it ever had, on `intents.flags-audit.v1`."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
    enabled: bool
    rollout_percentage: Annotated[float, Meta(ge=0, le=100)] = 100.0
    salt: str = ""
    revision: Annotated[int, Meta(ge=1, description="Global: one more than the last change of any flag.")]
    changed_by: Identifier
    reason: str = ""
    changed_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    killed: Annotated[bool, Meta(description="Off for everyone, whatever else is said here, until it is revived.")] = (
        False
    )
    rules: Annotated[tuple[Rule, ...], Meta(description="Tried in order, before the percentage.")] = ()
    variants: Annotated[tuple[Variant, ...], Meta(description="None: on is `true` and off is `false`.")] = ()
    off_variant: Annotated[str | None, Meta(description="What an off flag serves; needed where it has variants.")] = (
        None
    )
    prerequisites: tuple[Prerequisite, ...] = ()
    kind: Annotated[
        Literal["flag", "segment"], Meta(description="A segment is on for its members; only `in_segment` asks it.")
    ] = "flag"
    rollout: Annotated[Rollout | None, Meta(description="Set while and after it climbs by itself.")] = None
    experiment: Annotated[Experiment | None, Meta(description="Set if its variants are arms.")] = None
    owner: Annotated[str, Meta(description="Who is asked about it.")] = ""
    description: Annotated[str, Meta(description="What being on does.")] = ""
    remove_after: Annotated[dt.date | None, Meta(description="When it should be gone.")] = None
    deleted: Annotated[bool, Meta(description="Nobody's any more: our own flags are their defaults again.")] = False


class ModelRelease(_Event, frozen=True, kw_only=True):
    """A release of a model or of the catalogue, on `intents.models.v1`.

    Keyed by `name` it is the one to serve; keyed by `name/release` it is there to be served.
    """

    name: Annotated[Identifier, Meta(description="`distilbert` or `catalogue`.")]
    release: Annotated[Identifier, Meta(description="The first 12 digits of `sha256`.")]
    location: Annotated[str, Meta(description="An fsspec URL of the release's folder.")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="Of the release's manifest.")]
    metrics: dict[str, float] = {}
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


class DeadLetter(_Event, frozen=True, kw_only=True):
    """A record that could not be processed, as people and programs are shown it.

    On `intents.deadletter.v1` itself stand the original key, value and headers, byte for byte; what is said here
    besides them travels in Kafka Connect's `__connect.errors.*` headers.
    """

    position: Annotated[Source, Meta(description="Where the dead letter stands.")]
    source: Annotated[Source | None, Meta(description="Where the record stood that could not be processed.")]
    code: Annotated[str, Meta(description="A stable word for the kind of fault.")]
    reason: Annotated[str, Meta(description="What was wrong, for a person.")]
    failed_at: Annotated[str | None, Meta(description="RFC 3339, UTC.")] = None
    key: Annotated[bytes | None, Meta(description="Base64.")] = None
    value: Annotated[bytes | None, Meta(description="Base64.")] = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


EVENT_TYPES: dict[str, type[_Event]] = {
    "intentstream.utterance.v1": Utterance,
    "intentstream.result.v1": Result,
    "intentstream.review-request.v1": ReviewRequest,
    "intentstream.correction.v1": Correction,
    "intentstream.confirmation.v1": Confirmation,
    "intentstream.lesson.v1": Lesson,
    "intentstream.correction-verdict.v1": CorrectionVerdict,
    "intentstream.flag-change.v1": FlagChange,
    "intentstream.model-release.v1": ModelRelease,
    "intentstream.presence.v1": Presence,
}
"""`ce_type` of each event that travels as CloudEvents."""

CE_TYPES: dict[type[_Event], str] = {event: name for name, event in EVENT_TYPES.items()}
