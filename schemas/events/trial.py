"""How a release is tried beside the one that serves: where it stands, what was seen of it, what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events.event import Event, Identifier, Probability, Seconds


class Trial(Event, frozen=True, kw_only=True):
    """Where a release stands that is tried beside the one that serves."""

    stage: Annotated[
        Literal["shadow", "rollout", "withdrawn"],
        Meta(
            description="`shadow`: it is asked, and answers nobody; `rollout`: it answers those who have its flag; "
            "`withdrawn`: neither, any more."
        ),
    ]
    began_at: Annotated[str, Meta(description="When the shadow began. RFC 3339, UTC.")]
    began_by: str = ""
    began_revision: Annotated[
        int,
        Meta(ge=0, description="Of this log, then: what came to serve later ends the trial. 0: of this record."),
    ] = 0


class Difference(Event, frozen=True, kw_only=True):
    """An utterance to which a candidate would have answered otherwise."""

    utterance_id: Identifier
    served: Annotated[str | None, Meta(description="What was answered; `null` is out of scope.")]
    candidate: Annotated[str | None, Meta(description="What it would have answered; `null` is out of scope.")]
    served_confidence: Probability
    confidence: Annotated[float, Meta(ge=0, le=1, description="The candidate's.")]


class ShadowReport(Event, frozen=True, kw_only=True):
    """What a candidate would have answered, on `intents.corrections-audit.v1`: one worker's, since it said so last."""

    model: Identifier
    release: Annotated[Identifier, Meta(description="The candidate's.")]
    served_by: Annotated[str, Meta(description="The release that answered.")]
    worker_id: Identifier
    texts: Annotated[int, Meta(ge=0, description="How many utterances it was asked about.")]
    failed: Annotated[
        int, Meta(ge=0, description="Of how many a tier of its failed, and none of those that answered.")
    ] = 0
    late: Annotated[
        int, Meta(ge=0, description="Of how many one ran out of time, and none of those that answered.")
    ] = 0
    skipped: Annotated[
        int, Meta(ge=0, description="About how many more it was not asked, for want of time or by its rate.")
    ] = 0
    answers: Annotated[dict[str, int], Meta(description="How many were answered with each intent; ``: out of scope.")]
    different: tuple[Difference, ...] = ()
    confidence: Annotated[float, Meta(ge=0, le=1, description="The mean of the candidate's.")] = 0.0
    served_confidence: Annotated[float, Meta(ge=0, le=1, description="The mean of what was answered.")] = 0.0
    seconds: Annotated[Seconds, Meta(description="What all of the candidate's answers took.")] = 0.0
    users: Annotated[
        tuple[int, ...],
        Meta(description="In which of 65,536 buckets the users are who said these, for counting how many there are."),
    ] = ()
    reported_at: Annotated[str, Meta(description="RFC 3339, UTC.")]


class TrialVerdict(Event, frozen=True, kw_only=True):
    """What came of a stage of a trial, on `intents.corrections-audit.v1`."""

    model: Identifier
    release: Identifier
    stage: Annotated[Literal["shadow", "rollout"], Meta(description="The one that ended.")]
    code: Annotated[
        str,
        Meta(
            description="`rolled_out`, `promoted`; or why it was withdrawn: `fails`, `too_slow`, `disagrees`, "
            "`intent_collapses`, `people_disagree`, `breached`, `aborted`, `given_up`, `overtaken`, `forgotten`, "
            "`learning_is_off`."
        ),
    ]
    reason: Annotated[str, Meta(description="The reason for a person.")]
    texts: Annotated[int, Meta(ge=0, description="How many utterances the shadow was asked about.")] = 0
    different: Annotated[int, Meta(ge=0, description="To how many of them it answered otherwise.")] = 0
    judged_by: Annotated[Identifier, Meta(description="Which worker.")]
    judged_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
