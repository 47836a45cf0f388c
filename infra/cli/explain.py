"""`intentstream explain`: one decision as it was taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from infra.cli.moment import Moment
from infra.cli.output import json_option, print_json
from infra.cli.session import begin
from streams.past.explanation import explain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.events import Result
    from streams.past.explanation import Explanation, FlagState, LessonPast

_COLUMN = 13


@click.command
@click.argument("result_id")
@click.option(
    "--since",
    type=Moment(),
    default="24h",
    show_default=True,
    help="How far back to look, where the id does not tell: 90m, 24h, 7d, or a time.",
)
@json_option
def command(*, result_id: str, since: float, as_json: bool) -> None:
    """Show one decision as it was taken.

    The answer and its scores, the tiers that were tried and why each was left, the release, the arm of an experiment,
    the flags as they were for that user, and the correction that decided, if one did. What a worker's environment said
    of flags is written nowhere.
    """
    explanation = explain(begin(), result_id, since=since)
    if as_json:
        print_json(explanation)
        return
    for line in _lines(explanation):
        click.echo(line)


def _lines(explanation: Explanation) -> Iterator[str]:
    result = explanation.result
    notes = "".join(f", {note}" for note in ("degraded", "cached") if getattr(result, note))
    yield f"{_intent(result.intent)}, confidence {result.confidence:.4f}, by {result.tier}{notes}"
    whose = f" of {result.user_id}" if result.user_id else ""
    yield _row("answered", f"{explanation.written_at}, at {explanation.stands_at}")
    yield _row("utterance", f"{result.utterance_id}{whose}" + _utterance_fate(explanation))
    for number, attempt in enumerate(result.tried):
        why = f": {attempt.reason}" if attempt.reason else ""
        turn = f"{attempt.tier} {attempt.outcome.value}{why} ({attempt.seconds * 1000:.1f} ms)"
        yield _row("" if number else "tried", turn)
    for number, other in enumerate(result.alternatives):
        yield _row("" if number else "next best", f"{_intent(other.intent)} {other.confidence:.4f}")
    yield _row("release", result.release)
    arm = f", arm {result.experiment_arm} of the experiment" if result.experiment_arm else ""
    yield _row("strategy", f"{result.strategy}{arm}")
    if result.exposures:
        yield _row("by chance", ", ".join(f"{flag}: {variant}" for flag, variant in sorted(result.exposures.items())))
    yield from _flag_lines(explanation)
    yield _row("corrections", _corrections(result, explanation.lesson))
    if explanation.lesson is not None and (later := explanation.lesson.since) is not None:
        yield _row("", f"since then {later.code}: {later.reason} ({later.withdrawn_at})")
    timings = result.timings
    yield _row(
        "time", f"queued {timings.queue_seconds * 1000:.1f} ms, classified {timings.classify_seconds * 1000:.1f} ms"
    )


def _utterance_fate(explanation: Explanation) -> str:
    if explanation.text_forgotten:
        return "; its text is sealed and cannot be opened"
    return "" if explanation.utterance_there else "; gone"


def _flag_lines(explanation: Explanation) -> Iterator[str]:
    revision = explanation.result.flags_revision
    known = "" if explanation.flags_known else "; the audit does not reach back to it"
    yield _row("flags", f"as of revision {revision}{known}")
    for flag in explanation.flags:
        yield _row("", _flag(flag))


def _flag(flag: FlagState) -> str:
    changed = f"revision {flag.revision} by {flag.changed_by}" if flag.revision else "never changed"
    why = f": {flag.changed_because}" if flag.changed_because else ""
    return f"{flag.name:<20} {flag.variant or flag.value!s:<10} {flag.reason:<15} {changed}{why}"


def _corrections(result: Result, lesson: LessonPast | None) -> str:
    known = f"as of revision {result.corrections_revision}"
    if result.lesson is None:
        return f"{known}; none decided"
    decided = f"{known}; lesson {result.lesson} decided"
    if lesson is not None and (verdict := lesson.verdict) is not None:
        said = f"{verdict.person_id} said {_intent(verdict.intent)}"
        return f"{decided}: {said}, {verdict.code} at {verdict.judged_at}: {verdict.reason}"
    if lesson is not None and (recount := lesson.recount) is not None:
        return f"{decided}: {recount.code} at {recount.withdrawn_at}: {recount.reason}"
    return f"{decided}, of which the audit tells nothing"


def _intent(intent: str | None) -> str:
    return intent or "(out of scope)"


def _row(name: str, text: str) -> str:
    return f"{name:<{_COLUMN}}{text}"
