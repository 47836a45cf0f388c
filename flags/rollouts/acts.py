"""What can be done with a rollout: each act is an ordinary edit of its flag, based on the revision that was looked at.

A rollout never takes the flag from somebody who has it, but for going back to 0 %: it starts at or above the share that
has it, and resumes at the first step that is not below it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from flags.comparison import Since
from flags.edits import Edit
from flags.errors import InvalidFlagError
from flags.validation import find_faults
from schemas.events import Guardrail, Rollout

if TYPE_CHECKING:
    from flags.acts import Author
    from schemas.events import FlagChange

EVERYONE = 100.0
UNDER_WAY = frozenset({"running", "paused"})


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a flag is to climb; each field means what it does in `schemas.events.Rollout`."""

    steps: tuple[float, ...] = (10.0, 25.0, 50.0, 75.0, 100.0)
    guardrails: tuple[Guardrail, ...] = (Guardrail(metric="error_rate"), Guardrail(metric="degraded_rate"))
    step_seconds: float = 60.0
    step_utterances: int = 1_000
    alpha: float = 0.05
    dry_run: bool = False


def share(flag: FlagChange) -> float:
    """Return for how many percent of the users whom no rule picks a flag is on."""
    return flag.rollout_percentage if flag.enabled and not flag.killed else 0.0


def rollout_of(flag: FlagChange) -> Rollout:
    """Return a flag's rollout.

    Raises:
        ValueError: It has none.
    """
    if flag.rollout is None:
        raise ValueError(f"{flag.name} has no rollout.")
    return flag.rollout


def since(flag: FlagChange) -> Since:
    """Return from where on a rollout's evidence counts.

    Raises:
        ValueError: The flag has none.
    """
    rollout = rollout_of(flag)
    revision = rollout.entered_revision or flag.revision
    return Since(flag.name, revision, dt.datetime.fromisoformat(rollout.entered_at).timestamp())


def start(flag: FlagChange, plan: Plan, author: Author) -> Edit:
    """Let a flag climb, from its first step on.

    Raises:
        InvalidFlagError: Everything that speaks against it.
    """
    rollout = Rollout(
        steps=plan.steps,
        guardrails=plan.guardrails,
        entered_at=author.now,
        step_seconds=plan.step_seconds,
        step_utterances=plan.step_utterances,
        alpha=plan.alpha,
        dry_run=plan.dry_run,
    )
    fields = _entering(rollout, 0, author) if plan.steps else {"rollout": rollout}
    faults = [*_start_faults(flag, plan), *find_faults(msgspec.structs.replace(flag, **fields))]
    if faults:
        raise InvalidFlagError(flag.name, list(dict.fromkeys(faults)))
    return _edit(flag, author, fields)


def pause(flag: FlagChange, author: Author) -> Edit:
    """Leave a flag at its step until somebody goes on.

    Raises:
        InvalidFlagError: It is not climbing.
    """
    rollout = _rollout_of(flag, "running")
    return _edit(flag, author, {"rollout": msgspec.structs.replace(rollout, state="paused")})


def resume(flag: FlagChange, author: Author) -> Edit:
    """Go on, at the first step that takes the flag from nobody who has it now; evidence begins anew.

    Raises:
        InvalidFlagError: It is not paused, or it is killed, or on for more than the last step.
    """
    rollout = _rollout_of(flag, "paused")
    if flag.killed:
        raise InvalidFlagError(flag.name, ["it is killed; revive it first"])
    if rollout.dry_run:
        return _edit(flag, author, _entering(rollout, rollout.step, author))
    step = next((step for step, percentage in enumerate(rollout.steps) if percentage >= share(flag)), None)
    if step is None:
        raise InvalidFlagError(flag.name, [f"{share(flag):g} % have it, more than at the last step; abort the rollout"])
    return _edit(flag, author, _entering(rollout, step, author))


def climb(flag: FlagChange, author: Author) -> Edit:
    """Go to the next step at once, or finish after the last one.

    Raises:
        InvalidFlagError: It is not climbing, or only for show.
    """
    rollout = _rollout_of(flag, "running")
    if rollout.dry_run:
        raise InvalidFlagError(flag.name, ["its rollout is a dry run, which goes nowhere"])
    if rollout.step + 1 == len(rollout.steps):
        return _edit(flag, author, {"rollout": msgspec.structs.replace(rollout, state="finished")})
    return _edit(flag, author, _entering(rollout, rollout.step + 1, author))


def abort(flag: FlagChange, author: Author) -> Edit:
    """End a rollout: nobody has the flag by chance any more; a dry run leaves it as it is.

    Raises:
        InvalidFlagError: There is no rollout under way.
    """
    return _edit(flag, author, _ending(_rollout_of(flag, "running", "paused"), "aborted"))


def roll_back(flag: FlagChange, author: Author) -> Edit:
    """End a rollout that did harm: nobody has the flag by chance any more.

    Raises:
        InvalidFlagError: It is not climbing.
    """
    return _edit(flag, author, _ending(_rollout_of(flag, "running"), "rolled_back"))


def _start_faults(flag: FlagChange, plan: Plan) -> list[str]:
    faults = []
    if flag.rollout is not None and flag.rollout.state in UNDER_WAY:
        faults.append(f"a rollout is under way already, {flag.rollout.state}; resume or abort it")
    if flag.killed:
        faults.append("it is killed; revive it first")
    if plan.dry_run:
        return faults
    if share(flag) >= EVERYONE:
        faults.append("everyone has it already; switch it off, or lower its percentage, first")
    elif plan.steps and share(flag) > plan.steps[0]:
        faults.append(f"{share(flag):g} % have it already, and the first step is {plan.steps[0]:g} %")
    return faults


def _rollout_of(flag: FlagChange, *states: str) -> Rollout:
    if flag.rollout is None:
        raise InvalidFlagError(flag.name, ["it has no rollout"])
    if flag.rollout.state not in states:
        raise InvalidFlagError(flag.name, [f"its rollout is {flag.rollout.state}, and not {' or '.join(states)}"])
    return flag.rollout


def _entering(rollout: Rollout, step: int, author: Author) -> dict[str, Any]:
    """Return what stands in the record with which a flag comes to a step; with everyone having it, all is done."""
    done = rollout.steps[step] >= EVERYONE and not rollout.dry_run
    entered = msgspec.structs.replace(
        rollout, step=step, entered_at=author.now, entered_revision=0, state="finished" if done else "running"
    )
    steering = {} if rollout.dry_run else {"enabled": True, "rollout_percentage": rollout.steps[step]}
    return {**steering, "rollout": entered}


def _ending(rollout: Rollout, state: str) -> dict[str, Any]:
    ended = msgspec.structs.replace(rollout, state=state)
    return {"rollout": ended} if rollout.dry_run else {"rollout_percentage": 0.0, "rollout": ended}


def _edit(flag: FlagChange, author: Author, fields: dict[str, Any]) -> Edit:
    return Edit(
        name=flag.name,
        fields=fields,
        changed_by=author.changed_by,
        reason=author.reason,
        expected_revisions={flag.revision},
    )
