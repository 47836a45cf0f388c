"""A flag's state: whom it is on for, and how it climbs or is compared."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - msgspec reads it from here
from typing import Annotated, Any, Literal

from msgspec import Meta

from schemas.events.event import Event, Identifier, Seconds


class Condition(Event, frozen=True, kw_only=True):
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


class Rule(Event, frozen=True, kw_only=True):
    """What those get for whom all conditions hold; the first such rule decides."""

    conditions: tuple[Condition, ...]
    enabled: Annotated[bool, Meta(description="`false`: they get what an off flag serves.")] = True
    rollout_percentage: Annotated[
        float, Meta(ge=0, le=100, description="How many of them, in steps of 0.001; the others get the flag's off.")
    ] = 100.0
    variant: Annotated[str | None, Meta(description="Which of the variants; left out: by the variants' weights.")] = (
        None
    )


class Variant(Event, frozen=True, kw_only=True):
    """One of the values that a flag may have."""

    name: str
    value: bool | int | float | str | dict[str, Any]
    weight: Annotated[float, Meta(ge=0, le=100, description="In percent, in steps of 0.001; they add up to 100.")]


class Prerequisite(Event, frozen=True, kw_only=True):
    """Another flag that must have a variant, or this one is off."""

    flag: str
    variant: str = "on"


class Guardrail(Event, frozen=True, kw_only=True):
    """What may not get worse for those who have a flag than for those who have not, at the same time."""

    metric: Literal["error_rate", "degraded_rate", "p95_latency", "correction_rate"]
    tolerated_ratio: Annotated[
        float, Meta(ge=1, le=100, description="How many times as bad it may be; above that is a breach.")
    ] = 1.0


class Rollout(Event, frozen=True, kw_only=True):
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


class Experiment(Event, frozen=True, kw_only=True):
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


class FlagChange(Event, frozen=True, kw_only=True):
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
