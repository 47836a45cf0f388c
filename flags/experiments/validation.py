"""Whether an experiment makes sense in its flag's state, and beside the others: one runs at a time."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schemas.events import Experiment, FlagChange

MAX_ARMS = 8

_STRATEGIES = ", ".join(Strategy)


def find_experiment_faults(change: FlagChange) -> Iterator[str]:
    """Yield everything that is wrong with a flag's experiment, if it has one."""
    experiment = change.experiment
    if experiment is None:
        return
    names = [each.name for each in change.variants]
    if not 2 <= len(names) <= MAX_ARMS:  # noqa: PLR2004 - who is alone is not compared
        yield f"an experiment has 2 to {MAX_ARMS} arms, which are the flag's variants; it has {len(names)}"
    for each in change.variants:
        if each.value not in tuple(Strategy):  # a set would want to hash it, and it may be an object
            yield f"the value of the arm {each.name} is no strategy; there are {_STRATEGIES}"
    if experiment.control not in names:
        yield f"the control {experiment.control} is none of the flag's variants"
    if not _is_time(experiment.started_at):
        yield f"started_at is {experiment.started_at!r}; it is a time as RFC 3339 has it, with its zone"
    yield from _state_faults(change, experiment, names)


def find_rival_faults(change: FlagChange, others: Iterable[FlagChange]) -> Iterator[str]:
    """Yield what keeps a flag's experiment from running beside the other flags."""
    if not is_running(change):
        return
    for other in others:
        # The one that came first stays; two that point at each other would both be out.
        if other.name != change.name and is_running(other) and other.revision < change.revision:
            yield f"the experiment {other.name} is running; one runs at a time, so conclude that first"


def is_running(change: FlagChange) -> bool:
    """Return whether a flag's variants are the arms of an experiment under way."""
    return not change.deleted and change.experiment is not None and change.experiment.state == "running"


def _state_faults(change: FlagChange, experiment: Experiment, names: list[str]) -> Iterator[str]:
    if experiment.state == "running":
        if any(each.weight == 0 for each in change.variants):
            yield "an arm has no weight, so nobody would be in it"
        if experiment.winner is not None:
            yield "it has a winner, and is still running"
    elif experiment.winner not in names:
        yield f"the winner {experiment.winner} is none of the flag's variants"


def _is_time(text: str) -> bool:
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
