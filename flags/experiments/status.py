"""What an experiment looks like from outside: how it stands on the log, and what may be said about it so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flags.experiments.acts import experiment_of, running, since
from flags.experiments.analysis import assess
from flags.experiments.outlook import look_ahead
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flags.experiments.analysis import Assessment
    from flags.experiments.outlook import Outlook
    from flags.statistics.arm import Arm
    from schemas.events import Experiment, FlagChange

MOST_BEHIND_SECONDS = 5.0
"""Results that are older do not conclude anything: those since then may say something else."""


class Findings(NamedTuple):
    """What the results say.

    Attributes:
        assessment: What may be said.
        outlook: How long it is likely to take.
        behind_seconds: How old the newest result may be that was not read; infinite: not all was read.
    """

    assessment: Assessment
    outlook: Outlook
    behind_seconds: float


class ExperimentStatus(NamedTuple):
    """An experiment, as the log has it, and what the results say.

    Attributes:
        flag: Whose variants are its arms.
        experiment: The flag's.
        findings: None: it is concluded, or nobody has looked.
    """

    flag: FlagChange
    experiment: Experiment
    findings: Findings | None = None


def status_of(flag: FlagChange) -> ExperimentStatus:
    """Return how an experiment stands, without a look at the results.

    Raises:
        UnknownFlagError: The flag has none.
    """
    return ExperimentStatus(flag, experiment_of(flag.name, flag))


def assessed(
    flag: FlagChange, arms: Mapping[str, Arm], *, now_seconds: float, behind_seconds: float, effect: float
) -> ExperimentStatus:
    """Return how an experiment stands, and what may be said.

    Args:
        flag: With a running experiment.
        arms: What each arm has seen, by name.
        now_seconds: Unix time.
        behind_seconds: As in `Findings`.
        effect: As in `flags.experiments.outlook.Outlook`.

    Raises:
        InvalidFlagError: None is running.
    """
    experiment = running(flag)
    elapsed_seconds = now_seconds - since(flag).seconds
    outlook = look_ahead(flag, experiment, arms, elapsed_seconds=elapsed_seconds, effect=effect)
    return ExperimentStatus(flag, experiment, Findings(assess(flag, experiment, arms), outlook, behind_seconds))


def conclusive(status: ExperimentStatus) -> Assessment:
    """Return what may be said by all results there are.

    Raises:
        UnavailableError: They have not all been read.
    """
    if status.findings is None or status.findings.behind_seconds > MOST_BEHIND_SECONDS:
        raise UnavailableError("Not all results have been read yet. Try again: reading goes on from where it is.")
    return status.findings.assessment
