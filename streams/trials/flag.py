"""The flag that a release is rolled out by: one of its own, so that no other is ever served by what was said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flags.rollouts.acts import Plan
from schemas.events import Guardrail

if TYPE_CHECKING:
    from schemas.events import ModelRelease
    from schemas.settings import Learning

_PREFIX = "candidate_"
_GUARDRAILS = (
    Guardrail(metric="error_rate"),
    Guardrail(metric="degraded_rate"),
    Guardrail(metric="p95_latency", tolerated_ratio=1.5),
    Guardrail(metric="correction_rate"),
)


def flag_of(record: ModelRelease) -> str:
    """Return the name of a release's flag."""
    return f"{_PREFIX}{record.name}_{record.release}"


def is_candidates_flag(name: str) -> bool:
    """Return whether a flag is a release's."""
    return name.startswith(_PREFIX)


def plan_of(settings: Learning) -> Plan:
    """Return how such a flag climbs."""
    return Plan(
        guardrails=_GUARDRAILS,
        step_seconds=settings.rollout_step_seconds,
        step_utterances=settings.rollout_step_utterances,
    )
