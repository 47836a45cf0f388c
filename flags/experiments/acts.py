"""What can be done with an experiment: each act is an ordinary edit of its flag, based on the revision looked at."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from flags.bucketing import BUCKETS
from flags.comparison import Since
from flags.edits import Edit
from flags.errors import InvalidFlagError
from schemas.errors import UnknownFlagError
from schemas.events import Experiment, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flags.acts import Author
    from flags.experiments.analysis import Assessment
    from schemas.events import FlagChange

_PER_PERCENT = BUCKETS // 100


class Design(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be compared.

    Attributes:
        flag: Its name; a new one, or one whose experiment is concluded.
        arms: The strategy of each arm, by name.
        control: The arm that the others are held against.
        metric: What decides, as in `schemas.events.Experiment`.
        percentage: Of the users, how many take part.
        alpha: How probable a wrong verdict may be at most.
    """

    flag: str
    arms: dict[str, str]
    control: str
    metric: str = "correction_rate"
    percentage: float = 100.0
    alpha: float = 0.05


def start(design: Design, flag: FlagChange | None, author: Author) -> Edit:
    """Begin to compare; the arms are of one size, which is when a difference is found soonest.

    Args:
        design: What is to be compared.
        flag: As it is now; None: there is none.
        author: Who, why and when.

    Raises:
        InvalidFlagError: The flag is in use for something else.
    """
    if flag is not None and (flag.experiment is None or flag.experiment.state == "running"):
        what = "it runs already" if flag.experiment is not None else "it is no experiment; choose another name"
        raise InvalidFlagError(design.flag, [what])
    experiment = {
        "control": design.control,
        "metric": design.metric,
        "started_at": author.now,
        "alpha": design.alpha,
    }
    fields: dict[str, Any] = {
        "enabled": True,
        "rollout_percentage": design.percentage,
        # With the salt of the last time, the same users would be in the same arms, with what they remember of it.
        "salt": f"{design.flag}.{author.now}",
        "variants": [msgspec.to_builtins(variant) for variant in _variants(design.arms)],
        "off_variant": design.control,
        "experiment": experiment,
    }
    return Edit(
        name=design.flag,
        fields=fields,
        replace=True,
        create=True,
        changed_by=author.changed_by,
        reason=author.reason,
        expected_revisions={0 if flag is None else flag.revision},
    )


def conclude(flag: FlagChange, assessment: Assessment, author: Author, *, arm: str | None, anyway: bool) -> Edit:
    """End an experiment: everyone gets one arm's strategy from now on.

    Args:
        flag: As it was assessed.
        assessment: What may be said about it.
        author: Who, why and when.
        arm: Which arm everyone gets; None: the one that the assessment names.
        anyway: Whether to conclude what the evidence does not, or not yet, conclude.

    Raises:
        InvalidFlagError: It is not running, there is no such arm, or the evidence does not say so.
    """
    experiment = running(flag)
    winner = _winner(flag, assessment, arm, anyway=anyway)
    ended = msgspec.structs.replace(experiment, state="concluded", winner=winner)
    variants = [msgspec.structs.replace(each, weight=100.0 if each.name == winner else 0.0) for each in flag.variants]
    fields = {
        "rollout_percentage": 100.0,
        "off_variant": winner,
        "variants": [msgspec.to_builtins(each) for each in variants],
        "experiment": msgspec.to_builtins(ended),
    }
    said = f"{assessment.verdict.value}: {assessment.reason}"
    return Edit(
        name=flag.name,
        fields=fields,
        changed_by=author.changed_by,
        reason=f"{author.reason} ({said})" if author.reason else said,
        expected_revisions={flag.revision},
    )


def _winner(flag: FlagChange, assessment: Assessment, arm: str | None, *, anyway: bool) -> str:
    """Return the arm that everyone is to get, if the evidence or whoever insists says so."""
    winner, said = arm or assessment.winner, f"{assessment.verdict.value}: {assessment.reason}"
    names = [each.name for each in flag.variants]
    if winner is None:
        raise InvalidFlagError(flag.name, [said, "to conclude it anyway, name an arm"])
    if winner not in names:
        raise InvalidFlagError(flag.name, [f"there is no arm {winner}; there are {', '.join(names)}"])
    if winner != assessment.winner and not anyway:
        raise InvalidFlagError(flag.name, [said, f"that does not speak for {winner}"])
    return winner


def experiment_of(name: str, flag: FlagChange | None) -> Experiment:
    """Return a flag's experiment, under way or concluded.

    Raises:
        UnknownFlagError: There is no such flag, or it is no experiment.
    """
    if flag is None or flag.experiment is None:
        raise UnknownFlagError(f"There is no experiment {name[:64]!r}.")
    return flag.experiment


def running(flag: FlagChange) -> Experiment:
    """Return a flag's experiment, under way.

    Raises:
        InvalidFlagError: None is.
    """
    if flag.experiment is None or flag.experiment.state != "running":
        raise InvalidFlagError(flag.name, ["no experiment of it is running"])
    return flag.experiment


def since(flag: FlagChange) -> Since:
    """Return from where on an experiment's evidence counts.

    Raises:
        InvalidFlagError: None is running.
    """
    experiment = running(flag)
    seconds = dt.datetime.fromisoformat(experiment.started_at).timestamp()
    return Since(flag.name, experiment.started_revision or flag.revision, seconds)


def find_experiment(changes: Mapping[str, FlagChange]) -> FlagChange | None:
    """Return the flag whose experiment runs, else the one whose was concluded last; None if there never was one."""
    flags = [change for change in changes.values() if change.experiment is not None and not change.deleted]
    return max(flags, key=lambda flag: (_is_running(flag), flag.revision), default=None)


def _is_running(flag: FlagChange) -> bool:
    return flag.experiment is not None and flag.experiment.state == "running"


def _variants(arms: Mapping[str, str]) -> Sequence[Variant]:
    """Return the arms with equal weights; what does not divide goes to the first."""
    steps, rest = divmod(BUCKETS, max(1, len(arms)))
    return [
        Variant(name=name, value=strategy, weight=(steps + (rest if place == 0 else 0)) / _PER_PERCENT)
        for place, (name, strategy) in enumerate(arms.items())
    ]
