"""A long run at a steady load while things break: whether memory, descriptors and latency stay as they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from infra.bench.report import Report, new_report
from infra.chaos.blows import Blows
from infra.chaos.flatness import growth, late_to_early
from infra.chaos.ledger import Ledger
from infra.chaos.load import Load
from infra.chaos.run import wait_until_ready
from infra.chaos.schedule import Kind, draw_schedule
from infra.chaos.stand import Stand
from infra.chaos.utterances import distinct
from infra.chaos.vitals import Vital, Vitals
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from schemas.settings import Settings

ENDING = frozenset({Kind.WORKER_KILLED, Kind.WORKER_DEAD, Kind.WORKER_STOPPED})
"""Faults after which a worker is another process: what has grown is forgotten with it."""

KINDS = tuple(kind for kind in Kind if kind not in ENDING | {Kind.OVERLOAD})

MOST_MEMORY_GROWTH = 0.05
MOST_DESCRIPTOR_GROWTH = 2.0
MOST_LATENCY_GROWTH = 1.5
"""By how much the memory may go up in a run, how many descriptors more, and how many times the median latency."""

_WARM_SECONDS = 20.0
"""The broker's own compiler takes its time."""

_CAPACITY_SECONDS = 20.0
_FLOOD_PER_SECOND = 60_000.0
_FLOOD_BEHIND = 5_000
_RECOVERED_SECONDS = 0.5
_SETTLE_SECONDS = 300.0
_POLL_SECONDS = 0.05
_OVERLOAD_TIMES = 10.0
_NORMAL_TIMES = 2.0
_WINDOWS = 60
_LONGEST_WINDOW_SECONDS = 10.0
_FEWEST_IN_WINDOW = 20

_NOTES = (
    "One producer, one reader of all topics, the broker, Redis and Postgres share the machine with the workers.",
    "Latency: from the producer's timestamp to a read_committed reader's having the answer.",
    "Quiet: windows that no fault, nor the recovery from it, reaches into.",
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        seconds: How long, once it is warm.
        load: Share of the capacity, which is found first.
        per_second: Utterances; 0: by the load.
        faults_per_hour: Evenly spread; 0: none.
        seed: Of which fault comes when.
        workers: How many of them.
        kinds: Which faults.
        overload_seconds: For so long, in the end, ten times as many come; 0: not.
    """

    seconds: float
    seed: int
    load: float = 0.7
    per_second: float = 0.0
    faults_per_hour: float = 60.0
    workers: int = 1
    kinds: tuple[Kind, ...] = KINDS
    overload_seconds: float = 0.0


class Window(NamedTuple):
    """Some seconds of a run: when it began, in Unix seconds; milliseconds; whether nothing was broken."""

    at: float
    p50_ms: float
    p99_ms: float
    quiet: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        report: For readers.
        broken: What does not hold, by name, and what it was.
        windows: The latency, over the run.
        vitals: The workers' memory and descriptors, likewise.
    """

    report: Report
    broken: dict[str, float]
    windows: list[Window]
    vitals: list[Vital]


class _Span(NamedTuple):
    begun: float
    ended: float


class _Course(NamedTuple):
    """What happened, in Unix seconds: the run, what was broken in it until all had recovered, and the overload."""

    run: _Span
    disturbed: list[_Span]
    recoveries: list[float]
    overload: _Span | None


def run_soak(settings: Settings, plan: Plan, texts: Sequence[str], *, say: Callable[[str], None]) -> Outcome:
    """Run it.

    Args:
        settings: Whose state folder has the models and the broker's class path; all servers are embedded ones.
        plan: What to do.
        texts: What is said; with a number behind once all have been, so that no cache knows them.
        say: Told what is being done.

    Raises:
        UnavailableError: Something could not be started, did not come back, or could not be read.
    """
    begun = time.time()
    capacity = 0.0 if plan.per_second else find_capacity(settings, plan.workers, texts, say=say)
    per_second = plan.per_second or capacity * plan.load
    with Stand(settings, workers=plan.workers, say=say) as stand:
        wait_until_ready(stand.workers, say)
        broker = stand.broker.server.endpoint
        with Ledger(broker) as ledger, Vitals(stand.workers) as vitals:
            load = Load(broker, per_second=per_second, seed=plan.seed, texts=distinct(texts))
            with load:
                course = _run_all(plan, stand, load, ledger, say)
            say("waiting until all is answered")
            _settle(load, ledger)
    windows = _windows(ledger, course)
    measures = {"capacity_per_second": capacity, "utterances_per_second": per_second, "refused": float(load.refused)}
    measures |= _answers(ledger, course, windows) | _growths(vitals.seen, course.run)
    if course.overload:
        measures |= _overloaded(ledger, vitals.seen, course.overload, windows)
    broken = _broken(measures)
    report = new_report(
        "soak",
        begun=begun,
        settings={
            "seed": plan.seed,
            "workers": plan.workers,
            "load": plan.load,
            "faults_per_hour": plan.faults_per_hour,
            "run_seconds": round(course.run.ended - course.run.begun, 1),
            "partitions": settings.topics.partitions,
        },
        measures={name: [value] for name, value in measures.items()},
        ratios={},
        notes=[*_NOTES, *(f"BROKEN: {name}: {value:g}" for name, value in broken.items())],
    )
    return Outcome(report=report, broken=broken, windows=windows, vitals=vitals.seen)


def find_capacity(settings: Settings, workers: int, texts: Sequence[str], *, say: Callable[[str], None]) -> float:
    """Return how many utterances a second are answered while there are always some thousands waiting.

    Without the brown-out, which would have the rules alone answer.
    """
    with Stand(settings, workers=workers, say=say, INTAKE__BROWN_OUT_AFTER_SECONDS=0) as stand:
        wait_until_ready(stand.workers, say)
        broker = stand.broker.server.endpoint
        load = Load(broker, per_second=_FLOOD_PER_SECOND, seed=0, texts=distinct(texts))
        with Ledger(broker) as ledger, load:
            say("finding out how much they can answer")
            _flood(load, ledger, _WARM_SECONDS)
            before, begun = ledger.answered, time.monotonic()
            _flood(load, ledger, _CAPACITY_SECONDS)
            capacity = (ledger.answered - before) / (time.monotonic() - begun)
    say(f"they can answer {capacity:,.0f} a second")
    if not capacity:
        raise UnavailableError("The workers answer nothing.")
    return capacity


def _flood(load: Load, ledger: Ledger, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        load.speed_up(1.0 if load.acknowledged - ledger.answered < _FLOOD_BEHIND else 0.0)
        time.sleep(_POLL_SECONDS)


def _run_all(plan: Plan, stand: Stand, load: Load, ledger: Ledger, say: Callable[[str], None]) -> _Course:
    blows = Blows(stand, load)
    blows.pause(_WARM_SECONDS)
    begun, disturbed, recoveries = time.time(), list[_Span](), list[float]()
    count = int(plan.seconds * plan.faults_per_hour / 3600)
    for fault in draw_schedule(count, seed=plan.seed, workers=plan.workers, kinds=plan.kinds):
        blows.pause(max(0.0, begun + plan.seconds * fault.number / (count + 1) - time.time()))
        say(f"{fault.number} of {count}: {fault.kind}, {fault.seconds:.1f} s")
        dealt = blows.deal(fault)
        if not ledger.wait_until_answered(_SETTLE_SECONDS, behind=_in_flight(plan, load)):
            raise UnavailableError(f"After {fault.kind} the workers do not catch up.")
        disturbed.append(_Span(dealt.begun, time.time()))
        recoveries.append(time.time() - dealt.ended)
    blows.pause(max(0.0, begun + plan.seconds - time.time()))
    run = _Span(begun, time.time())
    if not plan.overload_seconds:
        return _Course(run, disturbed, recoveries, None)
    say(f"{_OVERLOAD_TIMES:g} times as many, for {plan.overload_seconds:g} s")
    overload = time.time()
    load.speed_up(_OVERLOAD_TIMES)
    blows.pause(plan.overload_seconds)
    load.speed_up(1.0)
    overload_span = _Span(overload, time.time())
    ledger.wait_until_answered(_SETTLE_SECONDS, behind=_in_flight(plan, load))
    blows.pause(_WARM_SECONDS)
    return _Course(run, disturbed, recoveries, overload_span)


def _in_flight(plan: Plan, load: Load) -> int:
    """Return how many may wait while all is well: those of half a second."""
    return max(1, int(_RECOVERED_SECONDS * load.per_second * plan.workers))


def _settle(load: Load, ledger: Ledger) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while ledger.said < load.acknowledged and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    ledger.wait_until_answered(max(0.0, deadline - time.monotonic()))


def _windows(ledger: Ledger, course: _Course) -> list[Window]:
    said_at, seconds = ledger.latencies()
    run = course.run
    width = min(_LONGEST_WINDOW_SECONDS, (run.ended - run.begun) / _WINDOWS)
    windows = []
    for begun in np.arange(run.begun, run.ended - width, width):
        chosen = _between(said_at, seconds, _Span(begun, begun + width))
        quiet = all(begun + width < span.begun or begun > span.ended for span in course.disturbed)
        if len(chosen) >= _FEWEST_IN_WINDOW:
            p50, p99 = np.percentile(chosen, [50, 99]) * 1000
            windows.append(Window(float(begun), float(p50), float(p99), quiet))
    return windows


def _between(
    said_at: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64], span: _Span
) -> npt.NDArray[np.float64]:
    first, last = np.searchsorted(said_at, span)
    return seconds[first:last]


def _answers(ledger: Ledger, course: _Course, windows: list[Window]) -> dict[str, float]:
    quiet = np.array([(window.p50_ms, window.p99_ms) for window in windows if window.quiet]).reshape(-1, 2)
    measures: dict[str, float] = {
        "utterances": ledger.said,
        "faults": len(course.disturbed),
        "lost": ledger.lost,
        "duplicated": ledger.duplicated,
        "disordered": ledger.disordered,
        "quiet_windows_share": len(quiet) / max(1, len(windows)),
    }
    if course.recoveries:
        measures["recovery_median_seconds"] = float(np.median(course.recoveries))
        measures["recovery_max_seconds"] = max(course.recoveries)
    if len(quiet):
        measures["quiet_p50_ms"], measures["quiet_p99_ms"] = map(float, np.median(quiet, axis=0))
        measures["p50_late_to_early"] = late_to_early(quiet[:, 0])
        measures["p99_late_to_early"] = late_to_early(quiet[:, 1])
    return measures


def _growths(seen: list[Vital], run: _Span) -> dict[str, float]:
    """Return what grew most, of the processes that lived through at least half of the run."""
    measures = {"memory_mb": 0.0, "memory_growth_mb": 0.0, "memory_growth": 0.0}
    measures |= {"descriptor_growth": 0.0, "thread_growth": 0.0}
    for pid in {vital.pid for vital in seen}:
        own = [vital for vital in seen if vital.pid == pid and run.begun <= vital.at <= run.ended]
        if len(own) < 2 or own[-1].at - own[0].at < (run.ended - run.begun) / 2:  # noqa: PLR2004 - growth has two ends
            continue
        times = [vital.at for vital in own]
        memory = growth(times, [vital.memory_mb for vital in own])
        held = float(np.median([vital.memory_mb for vital in own]))
        found = {
            "memory_mb": held,
            "memory_growth_mb": memory,
            "memory_growth": memory / held,
            "descriptor_growth": growth(times, [float(vital.descriptors) for vital in own]),
            "thread_growth": growth(times, [float(vital.threads) for vital in own]),
        }
        measures = {name: max(value, found[name]) for name, value in measures.items()}
    return measures


def _overloaded(ledger: Ledger, seen: list[Vital], overload: _Span, windows: list[Window]) -> dict[str, float]:
    """Return what the overload did, and how many seconds after its end answers came as quickly as before."""
    said_at, seconds = ledger.latencies()
    during = _between(said_at, seconds, overload)
    measures = {"overload_per_second": len(during) / (overload.ended - overload.begun)}
    if not len(during):
        return measures
    usual = float(np.median([window.p99_ms for window in windows if window.quiet] or [np.inf])) / 1000
    later = said_at >= overload.ended
    slow = said_at[later & (seconds > _NORMAL_TIMES * usual)]
    memory = [vital.memory_mb for vital in seen]
    at = np.array([vital.at for vital in seen])
    p50, p99 = np.percentile(during, [50, 99]) * 1000
    return measures | {
        "overload_p50_ms": float(p50),
        "overload_p99_ms": float(p99),
        "overload_peak_memory_mb": float(max(np.array(memory)[at >= overload.begun], default=0.0)),
        "normal_again_seconds": float(slow.max() - overload.ended) if len(slow) else 0.0,
    }


def _broken(measures: dict[str, float]) -> dict[str, float]:
    bounds = {
        "lost": 0.0,
        "duplicated": 0.0,
        "disordered": 0.0,
        "memory_growth": MOST_MEMORY_GROWTH,
        "descriptor_growth": MOST_DESCRIPTOR_GROWTH,
        "p50_late_to_early": MOST_LATENCY_GROWTH,
    }
    return {name: measures[name] for name, bound in bounds.items() if measures.get(name, 0.0) > bound}
