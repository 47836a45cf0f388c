"""`intentstream replay`: a stretch of the past classified again, as it was or as it would be."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import click

from flags.environment import read_overrides
from infra.cli.moment import Moment
from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from streams.replay.replay import Question, replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.replay.comparison import Differences, Scores
    from streams.replay.replay import Report

NOT_SENT = 69

_COLUMN = 13
_MOST_SHOWN = 10

_REASONS = {
    "of_http": "of HTTP, so their texts stand nowhere",
    "utterance_gone": "whose utterances are gone",
    "unreadable": "that are no results",
    "flags_lost": "whose flags the audit does not tell",
    "lesson_lost": "that a lesson decided which is gone",
    "release_lost": "of releases that cannot be opened here",
    "degraded": "that a tier failed to answer then",
    "not_answered_now": "that a tier failed to answer now",
}


class _FlagValue(click.ParamType):
    """`name=on` or `name=off`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, bool]:
        name, sign, state = str(value).partition("=")
        if not (name and sign):
            self.fail(f"{value!r} is not name=on or name=off.", param, ctx)
        return name, click.BOOL.convert(state, param, ctx)


@click.command
@click.option(
    "--from", "since", type=Moment(), required=True, help="Of the first results: 90m, 24h, 7d ago, or a time."
)
@click.option("--to", "until", type=Moment(), help="Before which the last were written; left out: now.")
@click.option(
    "--release", help="Which is to answer: `serving`, one that was pushed, or a full name as results have it."
)
@click.option(
    "--flag", "flags", type=_FlagValue(), multiple=True, help="What a flag is to be for everyone; may be repeated."
)
@click.option("--into", help="Publish what would be answered to this topic, intents.replay.….")
@json_option
def command(
    *,
    since: float,
    until: float | None,
    release: str | None,
    flags: tuple[tuple[str, bool], ...],
    into: str | None,
    as_json: bool,
) -> None:
    """Classify a stretch of the past again, and tell what differs.

    As it was: each result by its own release, and by flags and corrections as they were at its revisions. Or as it
    would be: with another release, other flags, or both. Nothing is changed by it.
    """
    question = Question(
        begin=since,
        end=time.time() if until is None else until,
        release=release,
        flags=dict(flags),
        environment=read_overrides(os.environ),
        into=into,
    )
    if question.end <= question.begin:
        raise click.UsageError("--from must be before --to.")
    report = asyncio.run(replay(begin(), question))
    if as_json:
        print_json(report)
    else:
        for line in told(report):
            click.echo(line)
    for reason, count in report.not_published.items():
        click.echo(f"{count:,} not published: {reason}.", err=True)
    if report.not_published:
        raise click.exceptions.Exit(NOT_SENT)


def told(report: Report) -> Iterator[str]:
    """Yield a report line by line, for a person."""
    found = report.differences
    share = found.labels_changed / max(1, found.compared)
    differ = f"{found.labels_changed:,} labels differ ({share:.2%})"
    yield f"{found.compared:,} of {report.results:,} results compared: {differ}"
    yield _row("from", f"{report.begin} to {report.end}")
    yield _row("release", report.release or "each result's own")
    if report.flags:
        yield _row("flags", ", ".join(f"{name} {'on' if state else 'off'}" for name, state in report.flags.items()))
    yield from _rows("left out", (f"{count:,} {_REASONS[why]}" for why, count in report.left_out.items()))
    yield from _rows("lost", report.lost.values())
    if report.browned_out:
        yield _row("brown-out", f"{report.browned_out:,} answered in one, and replayed so")
    if report.nearness_skipped:
        yield _row(
            "corrections", f"of {report.nearness_skipped:,} texts it could not be told whether one speaks for them"
        )
    if found.compared:
        yield from _difference_lines(found)
    yield _row(
        "time",
        f"{report.seconds:.1f} s, of which loading models {report.loading_seconds:.1f} s; "
        f"{report.results_per_second:,.0f} results a second in the rest",
    )
    if report.published is not None:
        yield _row("published", f"{report.published:,}")


def _difference_lines(found: Differences) -> Iterator[str]:
    yield _row("scores", _scores(found.scores))
    for tier, scores in found.scores_by_tier.items():
        yield _row("", f"{tier}: {_scores(scores)}")
    yield _row("tiers", _mix(found.tiers_before))
    yield _row("now", _mix(found.tiers_after))
    pairs = [f"{_intent(each.before)} → {_intent(each.after)}  {each.results:,}" for each in found.confusions]
    yield from _rows("changed", _first(pairs))
    shifts = [f"{_intent(each.intent)}  {each.before:,} → {each.after:,}" for each in found.intents]
    yield from _rows("by intent", _first(shifts))
    if found.changed:
        yield _row("for instance", found.changed[0].result_id)
    if (judged := found.judged) is not None:
        yield _row(
            "by people",
            f"{judged.results:,} corrected: {judged.right_before:,} right before, {judged.right_after:,} now",
        )


def _scores(scores: Scores) -> str:
    return (
        f"at most {scores.largest:.2g} apart, {scores.mean:.2g} on average; "
        f"{scores.beyond_tolerance:,} of {scores.results:,} more than 1e-6"
    )


def _mix(tiers: Mapping[str, int]) -> str:
    total = max(1, sum(tiers.values()))
    return ", ".join(f"{tier} {count:,} ({count / total:.1%})" for tier, count in tiers.items())


def _first(lines: list[str]) -> list[str]:
    rest = len(lines) - _MOST_SHOWN
    return lines if rest <= 0 else [*lines[:_MOST_SHOWN], f"and {rest:,} more (--json has all)"]


def _intent(intent: str | None) -> str:
    return intent or "(out of scope)"


def _rows(name: str, lines: Any) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield _row("" if number else name, line)


def _row(name: str, text: str) -> str:
    return f"{name:<{_COLUMN}}{text}"
