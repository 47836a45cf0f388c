"""A side's turn in a pipeline's benchmark: how fast it answers what waits, and how long an answer takes at less."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil

from infra.bench.pipeline_sides import running, usage
from infra.bench.pipeline_topics import Listener, Said, begin_at_end
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from infra.bench.pipeline_sides import Side
    from infra.bench.pipeline_topics import Answer
    from schemas.settings import Settings

    _Milliseconds = npt.NDArray[np.float64]

PER_SECOND, CPU = "utterances_per_second", "cpu_seconds_per_1000"

_SHARES = {"quarter": 0.25, "half": 0.5, "three_quarters": 0.75, "nine_tenths": 0.9}
_PERCENTILES = (50, 95, 99)
_HOPS = ("queued", "classified", "appended", "visible")
"""Of an answer's way: until its classification begins, until it ends, until the broker has the result, until a
read_committed reader has it, which is after the commit."""

_FIRST_SECONDS = 60.0
_LAST_SECONDS = 10.0
_WARM_SHARE = 10


class Shape(NamedTuple):
    """How it is measured.

    Attributes:
        events: Utterances that are waiting at once.
        seconds: For so long a side is measured, at most.
        rounds: Of everyone.
        peers: Whether the peers take part.
        only: Those who take part, by name; none: all of them.
        capacity: What adaptive can answer, utterances a second, if that is known: then only latencies are measured.
        latencies: Whether those are.
        partitions: Of each topic, each number a broker of its own; none: the one number that the settings have.
    """

    events: int
    seconds: float
    rounds: int
    peers: bool
    only: frozenset[str] = frozenset()
    capacity: float = 0.0
    latencies: bool = True
    partitions: tuple[int, ...] = ()

    def has(self, name: str) -> bool:
        """Return whether one takes part in what is measured first, by name."""
        return not self.capacity and (not self.only or name in self.only)


class Run:
    """What is measured on one broker.

    Args:
        settings: Where the broker is, how many partitions a topic has, and what is classified with.
        texts: What is said.
        shape: How it is measured.
        folder: For what the sides say.
        say: Told what was found.
        where: What is said behind a side's name.

    Attributes:
        measures: A number a round, by name.
    """

    def __init__(
        self,
        settings: Settings,
        texts: Sequence[str],
        shape: Shape,
        folder: Path,
        say: Callable[[str], None],
        *,
        where: str = "",
    ) -> None:
        self.measures: defaultdict[str, list[float]] = defaultdict(list)
        self._settings, self._shape = settings, shape
        self._folder, self._say, self._where = folder, say, where
        self._said = Said(settings, texts)

    def throughput(self, side: Side, turn: int) -> None:
        """Have one side answer as fast as it can."""
        begin_at_end(self._settings, side.group)
        with running(side, self._settings, self._folder) as process:
            with Listener(self._settings, side.sink, self._said.begin()) as listener:
                self._said.burst(self._shape.events)
                listener.wait(1, _FIRST_SECONDS)
                listener.wait(self._shape.events // _WARM_SHARE, self._shape.seconds)
                warm, before, beside = len(listener.answers), usage(process), self._beside()
                listener.wait(self._shape.events, self._shape.seconds)
                after, beside_after = usage(process), self._beside()
            answers = listener.answers[warm:]
        rate = _rate(side, answers)
        self._say(f"round {turn} of {self._shape.rounds}: {side.name}{self._where} {rate:,.0f} a second")
        self.measures[f"{side.name}_{PER_SECOND}"].append(rate)
        self.measures[f"{side.name}_{CPU}"].append(1000 * (after.cpu_seconds - before.cpu_seconds) / len(answers))
        for name, seconds in beside_after.items():
            self.measures[f"{side.name}_{name}_{CPU}"].append(1000 * (seconds - beside[name]) / len(answers))
        self.measures[f"{side.name}_peak_memory_mb"].append(after.peak_memory_mb)

    def latency(self, side: Side) -> None:
        """Have a side answer what comes at shares of its capacity."""
        capacity = self._shape.capacity or float(np.median(self.measures[f"{side.name}_{PER_SECOND}"]))
        begin_at_end(self._settings, side.group)
        with running(side, self._settings, self._folder) as process:
            self._at_share(side, process, capacity, 0.25)  # of no account: the first batches find everything cold
            for name, share in _SHARES.items():
                hops = self._at_share(side, process, capacity, share)
                found = np.percentile(hops.sum(axis=0), _PERCENTILES)
                for percentile, milliseconds in zip(_PERCENTILES, found, strict=True):
                    self.measures[f"p{percentile}_ms_at_{name}_capacity"].append(float(milliseconds))
                for hop, milliseconds in zip(_HOPS, hops.mean(axis=1), strict=True):
                    self.measures[f"{hop}_ms_at_{name}_capacity"].append(float(milliseconds))
                said = ", ".join(f"{hop} {took:.0f}" for hop, took in zip(_HOPS, hops.mean(axis=1), strict=True))
                asked = f"{share:.0%} of {capacity:,.0f} a second{self._where}"
                self._say(f"{asked}: p50, p95, p99 {found.round()} ms; mean {said}")

    def _at_share(self, side: Side, process: psutil.Process, capacity: float, share: float) -> _Milliseconds:
        """Return how many milliseconds each answer took, hop by hop, shape (hops, answers).

        Raises:
            UnavailableError: The side ended.
        """
        with Listener(self._settings, side.sink, self._said.begin()) as listener:
            self._said.steadily(capacity * share, self._shape.seconds)
            listener.wait(len(self._said.sent_at), _LAST_SECONDS)
        if not process.is_running() or not listener.answers:
            raise UnavailableError(f"{side.name} has ended.")
        return _hops(listener.answers, self._said.sent_at)

    def _beside(self) -> dict[str, float]:
        """Return the processor seconds that our broker, and we who say and listen, have used so far."""
        port = int(self._settings.kafka_servers.rpartition(":")[2])
        me = psutil.Process()
        brokers = [each for each in me.children() if each.name() == "java" and _listens(each, port)]
        return {"broker": sum(map(_cpu_seconds, brokers)), "listener": _cpu_seconds(me)}


def _hops(answers: Sequence[Answer], sent_at: Sequence[float]) -> _Milliseconds:
    """Return what each answer took, in the order of `_HOPS`; the hops of one add up to all that it took."""
    hops = [
        (
            answer.queue_seconds,
            answer.classify_seconds,
            answer.appended_at - sent_at[answer.number] - answer.queue_seconds - answer.classify_seconds,
            answer.seen_at - answer.appended_at,
        )
        for answer in answers
    ]
    return np.array(hops).T * 1000


def _listens(process: psutil.Process, port: int) -> bool:
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in process.net_connections("tcp"))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _rate(side: Side, answers: Sequence[Answer]) -> float:
    """Return answers a second, by when the broker appended them."""
    times = [answer.appended_at for answer in answers]
    if not times or max(times) == min(times):
        raise UnavailableError(f"{side.name} answered {len(times)} utterances, which is too few to measure.")
    return (len(times) - 1) / (max(times) - min(times))
