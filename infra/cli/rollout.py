"""`intentstream rollout`: flags that climb by themselves while their guardrails hold."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import click

from flags.acts import Author, acting_now, existing, latest
from flags.errors import InvalidFlagError
from flags.rollouts.acts import UNDER_WAY, rollout_of, start
from flags.rollouts.requests import ACTS, read_plan
from flags.rollouts.status import status_of
from flags.rollouts.views import view_of
from infra.cli.flag_writer import flag_writer
from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from schemas.errors import UnknownFlagError
from schemas.events import FlagChange, Guardrail
from streams.evidence import judge_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.rollouts.views import RolloutView

_METRICS: tuple[str, ...] = get_args(get_type_hints(Guardrail)["metric"])
_READ_SECONDS = 10.0

_reason_option = click.option("--reason", required=True, help="Why; it stands in the history for ever.")
_by_option = click.option("--by", "changed_by", help="Who does it; left out: who you are on this machine.")


@click.group
def command() -> None:
    """Let flags climb by themselves while their guardrails hold."""


@command.command("start")
@click.argument("flag")
@click.option("--steps", default="10,25,50,75,100", show_default=True, help="Percentages, rising.")
@click.option(
    "--guardrail",
    "guardrails",
    multiple=True,
    metavar="METRIC[=RATIO]",
    help=f"What may not get worse, or RATIO times as bad; one of {', '.join(_METRICS)}; may be repeated. "
    "Left out: error_rate and degraded_rate.",
)
@click.option("--step-seconds", type=float, help="The least time at a step; left out: 60.")
@click.option("--step-utterances", type=int, help="The least utterances on either side; left out: 1000.")
@click.option("--alpha", type=float, help="How likely it may be to roll back what does no harm; left out: 0.05.")
@click.option("--dry-run", is_flag=True, help="Say what would be done with the flag as it is, and do nothing.")
@_reason_option
@_by_option
@json_option
def start_rollout(
    *,
    flag: str,
    steps: str,
    guardrails: tuple[str, ...],
    dry_run: bool,
    reason: str,
    changed_by: str | None,
    as_json: bool,
    **limits: float | None,
) -> None:
    """Let FLAG climb, step by step, for as long as the guardrails hold."""
    said: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    said |= {"steps": _percentages(steps), "dry_run": dry_run}
    if guardrails:
        said["guardrails"] = [_guardrail(text) for text in guardrails]
    plan, faults = read_plan(said)

    def edit(state: FlagChange) -> Any:
        if faults:
            raise InvalidFlagError(flag, faults)
        return start(state, plan, _author(changed_by, reason))

    _perform(flag, edit, as_json=as_json)


def _act_command(word: str, summary: str) -> None:
    @command.command(word, help=summary)
    @click.argument("flag")
    @_reason_option
    @_by_option
    @json_option
    def act(*, flag: str, reason: str, changed_by: str | None, as_json: bool) -> None:
        _perform(flag, lambda state: ACTS[word](state, _author(changed_by, reason)), as_json=as_json)


_act_command("pause", "Leave FLAG at its step until somebody goes on.")
_act_command("resume", "Go on with FLAG; evidence begins anew.")
_act_command("skip", "Take FLAG to the next step at once, whatever the evidence says.")
_act_command("abort", "End the rollout of FLAG, and take it from everyone whom chance gave it.")


@command.command("status")
@click.argument("flag", required=False)
@json_option
def status(*, flag: str | None, as_json: bool) -> None:
    """Show where rollouts stand, and what the evidence on the log says should be done."""
    settings = begin()
    with flag_writer(settings) as writer:
        changes = writer.read().changes
    found = [change for name, change in sorted(changes.items()) if change.rollout and flag in {None, name}]
    if flag is not None and not found:
        raise UnknownFlagError(f"There is no rollout of {flag!r}; `intentstream rollout status` shows those there are.")
    views = [view_of(judge_now(settings, change, patience_seconds=_READ_SECONDS)) for change in found]
    if as_json:
        print_json(views)
        return
    for view in views:
        _show(view)
    if not views:
        say("No flag climbs, or ever did; `intentstream rollout start` begins.")


def _perform(flag: str, edit: Callable[[FlagChange], Any], *, as_json: bool) -> None:
    with flag_writer(begin()) as writer:
        written = writer.write(edit(existing(flag, latest(writer, flag))))
    view = view_of(status_of(written, rollout_of(written)))
    if as_json:
        print_json(view)
        return
    state = view.rollout.state.replace("_", " ")
    say(f"The rollout of {flag} is {state}, at {view.percentage:g} %, as of revision {view.revision}.")


def _author(changed_by: str | None, reason: str) -> Author:
    return acting_now(changed_by or getpass.getuser(), reason)


def _show(view: RolloutView) -> None:
    rollout = view.rollout
    steps = ", ".join(f"{percentage:g}" for percentage in rollout.steps)
    state = rollout.state.replace("_", " ") + (", a dry run" if rollout.dry_run else "")
    click.echo(f"{view.flag}: {state} at {view.percentage:g} %, step {rollout.step + 1} of {steps}")
    click.echo(f"  revision {view.revision} by {view.changed_by}, {view.changed_at}: {view.reason}")
    if rollout.state not in UNDER_WAY:
        return
    click.echo(f"  {view.treated:,} utterances with it, {view.control:,} without")
    for each in view.guardrails:
        click.echo(
            f"  {each.metric:<16} {each.treated:<10.4g} with it, {each.control:<10.4g} without; "
            f"{each.verdict}: {each.reason} (p {each.p_value:.2g})"
        )
    if view.verdict is not None:
        click.echo(f"  {view.verdict}: {view.why}")
    if view.warning is not None:
        say(f"  look into this: {view.warning}", as_json=True)


def _percentages(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise click.UsageError(f"--steps {text} are not percentages, such as 10,25,50,100.") from error


def _guardrail(text: str) -> dict[str, Any]:
    metric, separator, ratio = text.partition("=")
    if metric not in _METRICS:
        raise click.UsageError(f"--guardrail {metric} is none of {', '.join(_METRICS)}.")
    if not separator:
        return {"metric": metric}
    try:
        return {"metric": metric, "tolerated_ratio": float(ratio)}
    except ValueError as error:
        raise click.UsageError(f"--guardrail {text} is not METRIC=RATIO, such as error_rate=1.2.") from error
