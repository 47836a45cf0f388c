"""One run: everything is started, everything is broken in turn, and then what is left is held to the promises."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from infra.bench.report import Report, new_report
from infra.chaos.blows import Blows, Dealt
from infra.chaos.checker import Checker, Findings, compare_rows, workers_that_differ
from infra.chaos.flipping import Flipping
from infra.chaos.load import Load
from infra.chaos.schedule import Kind, draw_schedule
from infra.chaos.stand import Stand
from infra.chaos.witness import HEALTH, READY, Witness
from infra.cli.flag_writer import flag_writer
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.chaos.books import Books
    from infra.chaos.witness import Said
    from infra.chaos.worker import MortalWorker
    from schemas.settings import Settings

_READY_SECONDS = 300.0
"""The first start on a machine trains what it does not find prepared."""

_SETTLE_SECONDS = 120.0
"""So long after the last fault, everything is answered."""

_FOLLOW_SECONDS = 60.0
_POLL_SECONDS = 0.2
_OK = 200
_SHOWN = 5


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        faults: How many.
        seed: Of everything that chance decides.
        workers: How many of them.
        per_second: Utterances.
        kinds: Which faults.
    """

    faults: int
    seed: int
    workers: int = 2
    per_second: float = 100.0
    kinds: tuple[Kind, ...] = tuple(Kind)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, and what a reader is told."""

    findings: Findings
    report: Report


class _Course(NamedTuple):
    """What happened while things broke: the faults, how far the group came, and what was said meanwhile."""

    dealt: list[Dealt]
    committed: dict[int, int]
    lies: list[tuple[str, Said]]
    probes: int
    flips: int
    outages: int


def run_chaos(settings: Settings, plan: Plan, *, say: Callable[[str], None]) -> Outcome:
    """Break everything, and see what holds.

    Args:
        settings: Whose state folder has the models and the broker's class path; all servers are embedded ones.
        plan: What to do.
        say: Told what is being done.

    Raises:
        UnavailableError: Something could not be started, did not come back, or could not be read.
    """
    begun = time.time()
    with Stand(settings, workers=plan.workers, say=say) as stand:
        wait_until_ready(stand.workers, say)
        checker = Checker(stand.broker.server.endpoint, stand.settings.worker.group_id)
        course = _break_everything(stand, checker, plan, say)
        say("holding what is there to the promises")
        books = checker.read_books()
        findings, notes = _judge(stand, checker, books, course)
    report = new_report(
        "chaos",
        begun=begun,
        settings={
            "seed": plan.seed,
            "workers": plan.workers,
            "utterances_per_second": plan.per_second,
            "partitions": settings.topics.partitions,
        },
        measures={name: [value] for name, value in _measures(findings, course, books).items()},
        ratios={},
        notes=[*notes, *(f"BROKEN: {name}: {count}" for name, count in findings.broken.items())],
    )
    return Outcome(findings=findings, report=report)


def _break_everything(stand: Stand, checker: Checker, plan: Plan, say: Callable[[str], None]) -> _Course:
    """Deal the faults while utterances come and flags change; return once all is answered, or should have been."""
    load = Load(stand.broker.server.endpoint, per_second=plan.per_second, seed=plan.seed)
    blows = Blows(stand, load)
    with flag_writer(stand.settings) as writer, Witness(stand.workers) as witness:
        with Flipping(writer, seed=plan.seed) as flipping, load:
            dealt = _deal_all(plan, stand, blows, checker, say)
        say("waiting until all is answered")
        committed = checker.wait_until_answered(_SETTLE_SECONDS)
        wait_until_ready(stand.workers, say)
    return _Course(dealt, committed, witness.lies(blows.outages), witness.answers, flipping.flips, len(blows.outages))


def wait_until_ready(workers: Sequence[MortalWorker], say: Callable[[str], None]) -> None:
    """Wait until every worker may be sent traffic.

    Raises:
        UnavailableError: One ended, or did not become ready in time.
    """
    deadline = time.monotonic() + _READY_SECONDS
    for worker in workers:
        say(f"waiting until {worker.worker_id} is ready")
        while worker.status(READY) != _OK:
            if worker.exit_code is not None or time.monotonic() > deadline:
                said = worker.get(HEALTH) or "\n".join(worker.log.strip().splitlines()[-1:])
                raise UnavailableError(f"{worker.worker_id} is not ready (exit code {worker.exit_code}): {said}")
            time.sleep(_POLL_SECONDS)


def _deal_all(plan: Plan, stand: Stand, blows: Blows, checker: Checker, say: Callable[[str], None]) -> list[Dealt]:
    dealt = []
    schedule = draw_schedule(plan.faults, seed=plan.seed, workers=plan.workers, kinds=plan.kinds)
    for fault in schedule:
        if fault.calm:
            wait_until_ready(stand.workers, lambda _: None)
            checker.wait_until_answered(_SETTLE_SECONDS, behind=int(plan.per_second))
        blows.pause(fault.gap_seconds)
        say(f"{fault.number} of {plan.faults}: {fault.kind}, {fault.seconds:.1f} s")
        dealt.append(blows.deal(fault))
    return dealt


def _judge(stand: Stand, checker: Checker, books: Books, course: _Course) -> tuple[Findings, list[str]]:
    """Return what does not hold, and what a reader of it should know."""
    logged = checker.flags_in_log()
    differing = workers_that_differ(stand.workers, logged, seconds=_FOLLOW_SECONDS)
    missing, differ = compare_rows(stand.postgres.server.endpoint, books.events, seconds=_FOLLOW_SECONDS)
    notes = [f"{worker}: {said.path} {said.status} was not true" for worker, said in course.lies[:_SHOWN]]
    notes += [f"{worker}: its flags are {flags}, the log's {logged}" for worker, flags in differing.items()]
    findings = Findings(
        events=books.utterances,
        results=books.results,
        dead_letters=books.dead_letters,
        aborted=checker.count_uncommitted() - len(books.events),
        lost=books.lost(course.committed),
        duplicated=books.duplicated,
        unanswered=books.unanswered(course.committed),
        misplaced=books.misplaced,
        disordered=books.disordered,
        altered=books.altered,
        invented=books.invented,
        unknown_revisions=len(books.revisions - checker.audited_revisions()),
        flags_differ=len(differing),
        rows_missing=missing,
        rows_differ=differ,
        lies=len(course.lies),
    )
    return findings, notes


def _measures(findings: Findings, course: _Course, books: Books) -> dict[str, float]:
    """Return the counts, how often each kind of fault came, and the pauses that it made: median and longest.

    A pause counts for a fault where it is that one's alone: begun after the one before had ended, and over before the
    next came.
    """
    dealt = course.dealt
    measures: dict[str, float] = {"faults": len(dealt), **msgspec.structs.asdict(findings)}
    measures |= {"flag_changes": course.flips, "probes_answered": course.probes, "broker_outages": course.outages}
    pauses: defaultdict[Kind, list[float]] = defaultdict(list)
    longest = 0.0
    for before, each, after in zip([None, *dealt], dealt, [*dealt[1:], None], strict=False):
        begun, ended = books.pause(each.begun, each.ended)
        longest = max(longest, ended - begun)
        if (before is None or before.ended < begun) and (after is None or ended < after.begun):
            pauses[each.fault.kind].append(ended - begun)
    measures["longest_pause_seconds"] = longest
    if found := pauses[Kind.WORKER_DEAD] + pauses[Kind.WORKER_KILLED]:
        measures["pause_p99_seconds"] = float(np.percentile(found, 99))
    for kind, count in sorted(Counter(each.fault.kind for each in dealt).items()):
        measures[f"{kind}_faults"] = count
        if seconds := pauses[kind]:
            measures[f"{kind}_pause_median_seconds"] = float(np.median(seconds))
            measures[f"{kind}_pause_max_seconds"] = max(seconds)
    return measures
