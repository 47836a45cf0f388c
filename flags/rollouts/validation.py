"""Whether a rollout makes sense in its flag's state; a running one always stands where users can be compared."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from flags.bucketing import is_whole_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.events import FlagChange, Rollout

_EVERYONE = 100.0


def find_rollout_faults(flag: FlagChange) -> Iterator[str]:
    """Yield everything that is wrong with a flag's rollout, if it has one."""
    rollout = flag.rollout
    if rollout is None:
        return
    yield from _step_faults(rollout)
    metrics = Counter(guardrail.metric for guardrail in rollout.guardrails)
    yield from (f"the guardrail {metric} is named {count} times" for metric, count in metrics.items() if count > 1)
    if not _is_time(rollout.entered_at):
        yield f"entered_at is {rollout.entered_at!r}; it is a time as RFC 3339 has it, with its zone"
    if flag.kind == "segment":
        yield "it is a segment, which does not climb"
    if flag.variants:
        yield "it has variants, and a rollout is of what is on or off; an experiment compares variants"
    if rollout.state == "running":
        yield from _running_faults(flag, rollout)


def _step_faults(rollout: Rollout) -> Iterator[str]:
    if not rollout.steps:
        yield "a rollout needs at least one step"
    for percentage in rollout.steps:
        if not 0 < percentage <= _EVERYONE:
            yield f"a step is {percentage:g} %; it is above 0 and at most 100"
        elif not is_whole_step(percentage):
            yield f"a step is {percentage!r} %; it goes in steps of 0.001"
    if any(earlier >= later for earlier, later in pairwise(rollout.steps)):
        yield f"the steps {', '.join(f'{each:g}' for each in rollout.steps)} do not rise"
    if rollout.step >= len(rollout.steps) > 0:
        yield f"it stands at step {rollout.step}, and the last one is {len(rollout.steps) - 1}"


def _running_faults(flag: FlagChange, rollout: Rollout) -> Iterator[str]:
    if not flag.enabled or flag.killed:
        yield "its rollout runs, and it is off"
    if rollout.dry_run and not 0 < flag.rollout_percentage < _EVERYONE:
        yield (
            "a dry run compares those who have the flag now with those who have not, "
            f"and it is on for {flag.rollout_percentage:g} %"
        )
    if not rollout.dry_run and rollout.step < len(rollout.steps):
        percentage = rollout.steps[rollout.step]
        if flag.rollout_percentage != percentage:
            yield f"its rollout stands at {percentage:g} %, and it is on for {flag.rollout_percentage:g} %"
        if percentage >= _EVERYONE:
            yield "its rollout runs, and everyone has it: it has finished"


def _is_time(text: str) -> bool:
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
