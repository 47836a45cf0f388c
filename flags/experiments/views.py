"""An experiment as people and programs are shown it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from flags.api.views import finite
from flags.experiments.analysis import Verdict  # noqa: TC001 - msgspec reads it from here
from flags.experiments.outlook import Outlook  # noqa: TC001 - likewise
from schemas.events import Experiment

if TYPE_CHECKING:
    from flags.experiments.analysis import Assessment, Difference, Seen
    from flags.experiments.status import ExperimentStatus


class ExperimentState(Experiment, frozen=True, kw_only=True, omit_defaults=False):
    """A comparison of routing strategies; with what goes without saying on the log."""


class DifferenceView(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of an arm, held against the control's."""

    metric: str
    estimate: Annotated[
        float | None,
        Meta(description="How many times as much; of a rate: how many times as readily it meets a user."),
    ]
    interval: Annotated[
        tuple[float | None, float | None], Meta(description="The confidence sequence for it; `null`: no end.")
    ]
    p_less: Annotated[float, Meta(description="Against `it is not less`; valid whenever one looks.")]
    p_more: Annotated[float, Meta(description="Against `it is not more`.")]


class ArmView(msgspec.Struct, frozen=True, kw_only=True):
    """What has been seen of one arm, and what is to be thought of it."""

    name: str
    strategy: str
    weight: Annotated[float, Meta(description="Its share of the users, in percent, as designed.")]
    users: int
    utterances: int
    error_rate: float
    degraded_rate: float
    correction_rate: float
    latency: Annotated[float, Meta(description="Seconds in the chain; the 95th percentile.")]
    cost: Annotated[float, Meta(description="Of an utterance, in seconds of tiers; the mean.")]
    differences: Annotated[tuple[DifferenceView, ...], Meta(description="From the control; none for itself.")]
    verdict: Annotated[Verdict | None, Meta(description="`null`: it is the control.")]
    reason: str


class AssessmentView(msgspec.Struct, frozen=True, kw_only=True):
    """What may be said about an experiment, at any look."""

    flag: str
    verdict: Verdict
    reason: Annotated[str, Meta(description="The verdict, for a person.")]
    winner: Annotated[str | None, Meta(description="The arm that everyone should get, if there is one.")]
    metric: str
    control: str
    alpha: float
    sample_ratio_p: Annotated[float, Meta(description="Against `users arrive as designed`; a small one blocks.")]
    arms: tuple[ArmView, ...]


class ExperimentView(msgspec.Struct, frozen=True, kw_only=True):
    """How an experiment stands, and what its results say."""

    flag: str
    strategies: Annotated[dict[str, str], Meta(description="Of each arm, by name.")]
    percentage: Annotated[float, Meta(ge=0, le=100, description="Of the users, how many take part.")]
    experiment: ExperimentState
    revision: Annotated[int, Meta(ge=0, description="Of the flag's last change.")]
    changed_by: str
    changed_at: str
    reason: str
    assessment: Annotated[AssessmentView | None, Meta(description="`null`: it is concluded, or nobody has looked.")]
    outlook: Annotated[Outlook | None, Meta(description="How long it is likely to take; `null`: likewise.")]
    behind_seconds: Annotated[
        float | None,
        Meta(description="How old the newest result may be that was not read; `null`: not all of them were read."),
    ]


class ExperimentList(msgspec.Struct, frozen=True, kw_only=True):
    """Every experiment, under way or concluded."""

    experiments: tuple[ExperimentView, ...]


def view_of(status: ExperimentStatus) -> ExperimentView:
    """Return an experiment as it is shown."""
    flag, experiment, findings = status
    return ExperimentView(
        flag=flag.name,
        strategies={each.name: str(each.value) for each in flag.variants},
        percentage=flag.rollout_percentage,
        experiment=ExperimentState(**msgspec.structs.asdict(experiment)),
        revision=flag.revision,
        changed_by=flag.changed_by,
        changed_at=flag.changed_at,
        reason=flag.reason,
        assessment=None if findings is None else _assessment(findings.assessment),
        outlook=None if findings is None else findings.outlook,
        behind_seconds=None if findings is None else finite(findings.behind_seconds),
    )


def _assessment(assessment: Assessment) -> AssessmentView:
    fields = msgspec.structs.asdict(assessment) | {"arms": tuple(_arm(arm) for arm in assessment.arms)}
    return AssessmentView(**fields)


def _arm(arm: Seen) -> ArmView:
    fields = msgspec.structs.asdict(arm) | {"differences": tuple(_difference(each) for each in arm.differences)}
    return ArmView(**fields)


def _difference(difference: Difference) -> DifferenceView:
    low, high = difference.interval
    estimate = None if difference.estimate is None else finite(difference.estimate)
    fields = msgspec.structs.asdict(difference) | {"estimate": estimate, "interval": (finite(low), finite(high))}
    return DifferenceView(**fields)
