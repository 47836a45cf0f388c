"""A rollout as people and programs are shown it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from flags.api.views import finite
from flags.rollouts.decision import Verdict  # noqa: TC001 - msgspec reads it from here
from flags.statistics import guardrail  # noqa: TC001 - likewise
from schemas.events import Rollout

if TYPE_CHECKING:
    from flags.rollouts.status import RolloutStatus
    from flags.statistics.guardrail import Finding


class RolloutState(Rollout, frozen=True, kw_only=True, omit_defaults=False):
    """How a flag climbs by itself, and how far it has come; with what goes without saying on the log."""


class GuardrailView(msgspec.Struct, frozen=True, kw_only=True):
    """What one guardrail's check found."""

    metric: str
    verdict: guardrail.Verdict
    reason: Annotated[str, Meta(description="The verdict, for a person.")]
    treated: Annotated[float, Meta(description="Of those who have the flag: events an utterance, or seconds.")]
    control: Annotated[float, Meta(description="Of those who have not, at the same time.")]
    p_value: Annotated[float, Meta(description="Against `not worse than tolerated`; valid whenever one looks.")]
    estimate: Annotated[float | None, Meta(description="How many times as bad; `null`: that cannot be said.")]
    interval: Annotated[
        tuple[float | None, float | None], Meta(description="The confidence sequence for it; `null`: no end.")
    ]


class RolloutView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout stands, what was seen since it came to its step, and what is to be done."""

    flag: str
    percentage: Annotated[float, Meta(ge=0, le=100, description="How many of those whom no rule picks have the flag.")]
    rollout: RolloutState
    revision: Annotated[int, Meta(ge=0, description="Of the flag's last change.")]
    changed_by: str
    changed_at: str
    reason: str
    verdict: Annotated[Verdict | None, Meta(description="`null`: it is not running, or nobody has looked.")]
    why: Annotated[str, Meta(description="Of the verdict, with the numbers.")]
    warning: Annotated[str | None, Meta(description="What a person should look into.")]
    treated: Annotated[int | None, Meta(description="Utterances of those who have the flag; `null`: nobody looked.")]
    control: Annotated[int | None, Meta(description="Utterances of those who have not.")]
    behind_seconds: Annotated[
        float | None, Meta(description="How old the newest evidence may be; `null`: not all of it has been read.")
    ]
    guardrails: tuple[GuardrailView, ...]


class RolloutList(msgspec.Struct, frozen=True, kw_only=True):
    """Every flag that climbs by itself, or did last."""

    rollouts: tuple[RolloutView, ...]


def view_of(status: RolloutStatus) -> RolloutView:
    """Return a rollout as it is shown."""
    look = status.look
    return RolloutView(
        flag=status.flag,
        percentage=status.percentage,
        rollout=RolloutState(**msgspec.structs.asdict(status.rollout)),
        revision=status.revision,
        changed_by=status.changed_by,
        changed_at=status.changed_at,
        reason=status.reason,
        verdict=status.verdict,
        why=status.why,
        warning=status.warning,
        treated=None if look is None else look.treated,
        control=None if look is None else look.control,
        behind_seconds=None if look is None else finite(look.behind_seconds),
        guardrails=() if look is None else tuple(_guardrail(finding) for finding in look.findings),
    )


def _guardrail(finding: Finding) -> GuardrailView:
    low, high = finding.interval
    return GuardrailView(
        metric=finding.metric,
        verdict=finding.verdict,
        reason=finding.reason,
        treated=finding.treated,
        control=finding.control,
        p_value=finding.p_value,
        estimate=None if finding.estimate is None else finite(finding.estimate),
        interval=(finite(low), finite(high)),
    )
