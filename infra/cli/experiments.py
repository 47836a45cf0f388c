"""`intentstream experiments`: comparing routing strategies, from the start to the conclusion."""

from __future__ import annotations

import datetime as dt
import getpass
import math
from typing import TYPE_CHECKING

import click
import msgspec

from flags.acts import acting_now, latest
from flags.errors import PreconditionFailedError
from flags.experiments.acts import Design, conclude, find_experiment, start
from flags.experiments.analysis import METRICS
from flags.experiments.outlook import LEAST_EFFECT, MOST_EFFECT, USUAL_EFFECT
from flags.experiments.status import conclusive, status_of
from flags.experiments.views import view_of
from infra.bench.report import render
from infra.bench.statistics import bench_statistics
from infra.cli.flag_writer import flag_writer
from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from schemas.errors import UnknownFlagError
from schemas.strategies import Strategy
from streams.experiments import ExperimentEvidence

if TYPE_CHECKING:
    from flags.acts import Author
    from flags.experiments.analysis import Seen
    from flags.experiments.outlook import Outlook
    from flags.experiments.status import ExperimentStatus, Findings
    from flags.writer import Writer
    from schemas.events import FlagChange
    from schemas.settings import Settings

_HEADING = (
    f"{'':<16} {'users':>8} {'utterances':>10} {'errors':>8} {'degraded':>8} {'corrected':>9} "
    f"{'p95 ms':>8} {'cost ms':>8}"
)

_reason_option = click.option("--reason", default="", help="Why; it stands in the history for ever.")
_by_option = click.option("--by", "changed_by", help="Who does it; left out: who you are on this machine.")


@click.group
def command() -> None:
    """Compare routing strategies, and give everyone the best."""


@command.command("start")
@click.argument("name")
@click.option(
    "--arm",
    "arms",
    multiple=True,
    required=True,
    metavar="NAME=STRATEGY",
    help=f"An arm, {', '.join(Strategy)}; the first is the control.",
)
@click.option(
    "--metric", type=click.Choice(METRICS), default="correction_rate", show_default=True, help="What decides."
)
@click.option("--percentage", type=float, default=100.0, show_default=True, help="Of the users, how many take part.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="How likely a wrong verdict may be.")
@_reason_option
@_by_option
@json_option
def start_experiment(
    *,
    name: str,
    arms: tuple[str, ...],
    metric: str,
    percentage: float,
    alpha: float,
    reason: str,
    changed_by: str | None,
    as_json: bool,
) -> None:
    """Put users into arms, each of which is a routing strategy. A user stays in his arm."""
    named = dict(map(_arm, arms))
    if len(named) < len(arms):
        raise click.UsageError("Two arms have the same name.")
    design = Design(flag=name, arms=named, control=next(iter(named)), metric=metric, percentage=percentage, alpha=alpha)
    with flag_writer(begin()) as writer:
        written = writer.write(start(design, latest(writer, name), _author(changed_by, reason)))
    if as_json:
        print_json(written)
    else:
        say(f"{name} compares {', '.join(named)} as of revision {written.revision}; {metric} decides.")


@command.command("status")
@click.argument("name", required=False)
@click.option(
    "--effect",
    type=click.FloatRange(LEAST_EFFECT, MOST_EFFECT),
    default=USUAL_EFFECT,
    show_default=True,
    help="Say how long it takes to find an arm that is lower by this part.",
)
@json_option
def show_status(*, name: str | None, effect: float, as_json: bool) -> None:
    """Say what the results on the log say so far; they are read anew each time."""
    settings = begin()
    with flag_writer(settings) as writer:
        flag = _experiment(name, writer)
    status = _look(settings, flag, effect)
    if as_json:
        print_json(view_of(status))
    elif status.findings is None:
        say(f"{flag.name} is concluded: everyone gets {status.experiment.winner}, since {flag.changed_at}.")
        say(flag.reason)
    else:
        for line in _lines(status.findings):
            click.echo(line)


@command.command("list")
@json_option
def list_experiments(*, as_json: bool) -> None:
    """Show every experiment, under way or concluded."""
    with flag_writer(begin()) as writer:
        changes = writer.read().changes
    statuses = [status_of(flag) for _, flag in sorted(changes.items()) if flag.experiment is not None]
    if as_json:
        print_json([view_of(status) for status in statuses])
        return
    for flag, experiment, _ in statuses:
        outcome = "running" if experiment.winner is None else f"concluded: everyone gets {experiment.winner}"
        click.echo(f"{flag.name}: {outcome}, as of revision {flag.revision}; {experiment.metric} decides.")
    if not statuses:
        say("There is no experiment yet; `intentstream experiments start` begins one.")


@command.command("conclude")
@click.argument("name", required=False)
@click.option("--arm", help="Which arm everyone gets; left out: the one that the evidence speaks for.")
@click.option("--anyway", is_flag=True, help="Even if the evidence does not speak for it.")
@click.option(
    "--if-match", type=click.IntRange(min=1), help="Only if this is still the revision of the experiment's flag."
)
@_reason_option
@_by_option
@json_option
def conclude_experiment(
    *,
    name: str | None,
    arm: str | None,
    anyway: bool,
    if_match: int | None,
    reason: str,
    changed_by: str | None,
    as_json: bool,
) -> None:
    """Give everyone the best arm's strategy; refused where there is no verdict."""
    settings = begin()
    with flag_writer(settings) as writer:
        flag = _experiment(name, writer)
        if if_match is not None and if_match != flag.revision:
            raise PreconditionFailedError(
                f"The flag {flag.name} is at revision {flag.revision}, not {if_match}; look at it again.",
                revision=flag.revision,
            )
        assessment = conclusive(_look(settings, flag, USUAL_EFFECT))
        edit = conclude(flag, assessment, _author(changed_by, reason), arm=arm, anyway=anyway)
        written = writer.write(edit)
    if as_json:
        print_json(written)
    else:
        winner = None if written.experiment is None else written.experiment.winner
        say(f"{written.name} is concluded as of revision {written.revision}: everyone gets {winner}.")


@command.command("simulate")
@click.option("--runs", type=click.IntRange(20, 100_000), default=2_000, show_default=True, help="Of each kind.")
@click.option("--seed", type=click.IntRange(min=0), default=20261123, show_default=True, help="Of all chance.")
@json_option
def simulate(*, runs: int, seed: int, as_json: bool) -> None:
    """Play streams whose truth is known, and count how often the verdicts are right."""
    report = bench_statistics(runs=runs, seed=seed, say=lambda message: click.echo(message, err=True))
    click.echo(msgspec.json.encode(report) if as_json else render(report))


def _look(settings: Settings, flag: FlagChange, effect: float) -> ExperimentStatus:
    return ExperimentEvidence(settings).look(flag, effect, patience_seconds=math.inf)


def _experiment(name: str | None, writer: Writer) -> FlagChange:
    """Return the flag of an experiment; without a name, of the one that runs or ran last."""
    flag = find_experiment(writer.read().changes) if name is None else latest(writer, name)
    if flag is None or flag.experiment is None:
        raise UnknownFlagError("There is no such experiment; `intentstream experiments start` begins one.")
    return flag


def _author(changed_by: str | None, reason: str) -> Author:
    return acting_now(changed_by or getpass.getuser(), reason)


def _arm(text: str) -> tuple[str, str]:
    name, separator, strategy = text.partition("=")
    if not separator:
        raise click.UsageError(f"--arm {text} is not NAME=STRATEGY, such as quick=performance.")
    return name, strategy


def _lines(findings: Findings) -> list[str]:
    """Return an experiment for a person."""
    assessment = findings.assessment
    lines = [
        f"{assessment.flag}: {assessment.verdict.value}. {assessment.reason}.",
        f"{assessment.metric} against {assessment.control}, wrongly in {assessment.alpha:.0%} of cases or less.",
        _outlook_line(findings.outlook),
        _HEADING,
    ]
    for arm in assessment.arms:
        lines.append(
            f"{arm.name:<16} {arm.users:>8,} {arm.utterances:>10,} {arm.error_rate:>8.2%} {arm.degraded_rate:>8.2%} "
            f"{arm.correction_rate:>9.2%} {arm.latency * 1000:>8.2f} {arm.cost * 1000:>8.3f}"
        )
        lines += _difference_lines(arm)
    return lines


def _difference_lines(arm: Seen) -> list[str]:
    lines = []
    for each in arm.differences:
        low, high = each.interval
        if each.estimate is not None:
            lines.append(f"{'':<16}   {each.metric} {each.estimate:.2f} times the control's, {low:.2f} to {high:.2f}")
    return lines


def _outlook_line(outlook: Outlook) -> str:
    so_far = f"{outlook.utterances_seen:,} utterances so far, {outlook.utterances_a_second:,.1f} a second"
    if outlook.utterances_needed is None:
        return f"{so_far}. How long it takes cannot be said yet."
    left = "" if outlook.seconds_left is None else f", {dt.timedelta(seconds=round(outlook.seconds_left))} from now"
    return (
        f"{so_far}. An arm that is {outlook.effect:.0%} lower is found in {outlook.power:.0%} of cases "
        f"after {outlook.utterances_needed:,}{left}."
    )
