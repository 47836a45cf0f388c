"""How each fault is dealt, and how the stand is well again after it."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer

from infra.chaos.freezing import frozen
from infra.chaos.proxy import FREE, Passage
from infra.chaos.schedule import Kind
from infra.chaos.witness import Away
from streams.topics import UTTERANCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.chaos.load import Load
    from infra.chaos.schedule import Fault
    from infra.chaos.stand import Stand, Target

_DOSE = 200
_OVERLOAD_TIMES = 10.0
_STRANGER_SECONDS = 0.7
_PASSAGES = {
    "cut": Passage(cut=True),
    "hung": Passage(hung=True),
    "slow": Passage(delay_seconds=0.15),
    "throttled": Passage(bytes_per_second=50_000),
}

_quiet = logging.getLogger("intentstream.chaos.librdkafka")


class Dealt(NamedTuple):
    """A fault that was dealt, and when, in Unix seconds."""

    fault: Fault
    begun: float
    ended: float


class Blows:
    """Deals faults, one at a time.

    Args:
        stand: What they befall.
        load: What is said meanwhile.

    Attributes:
        outages: When no worker could have reached the broker.
    """

    def __init__(self, stand: Stand, load: Load) -> None:
        self.outages: list[Away] = []
        self._stand = stand
        self._load = load
        self._targets = {"broker": stand.broker, "redis": stand.redis, "postgres": stand.postgres}
        self._waking = threading.Event()

    def deal(self, fault: Fault) -> Dealt:
        """Deal one; return when what was broken is put right, and may not have recovered yet.

        Raises:
            EmbeddedServerError: A server does not come back.
        """
        begun = time.time()
        target_name, _, how = fault.kind.partition("_")
        if target_name == "worker":
            self._worker(fault)
        elif fault.kind is Kind.REBALANCE_STORM:
            self._storm(fault.seconds)
        elif fault.kind is Kind.POISON:
            self._load.poison(_DOSE)
        elif fault.kind is Kind.OVERLOAD:
            self._overload(fault.seconds)
        else:
            self._server(self._targets[target_name], how, fault.seconds)
        return Dealt(fault, begun, time.time())

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self._waking.wait(seconds)

    def _worker(self, fault: Fault) -> None:
        worker = self._stand.workers[fault.worker]
        if fault.kind is Kind.WORKER_FROZEN:
            worker.suspend()
            self.pause(fault.seconds)
            worker.resume()
            return
        if fault.kind is Kind.WORKER_STOPPED:
            worker.terminate()
        else:
            worker.kill()
        self.pause(fault.seconds)
        worker.start()

    def _server(self, target: Target, how: str, seconds: float) -> None:
        is_away = target is self._stand.broker and how not in {"slow", "throttled"}
        if how in _PASSAGES:
            target.proxy.let(_PASSAGES[how])
            with self._noted(is_away=is_away):
                self.pause(seconds)
            target.proxy.let(FREE)
        elif how == "frozen":
            with frozen(target.server), self._noted(is_away=is_away):
                self.pause(seconds)
        else:
            end = target.server.kill if how == "killed" else target.server.stop
            end()
            with self._noted(is_away=is_away):
                self.pause(seconds)
            target.server.start()

    @contextmanager
    def _noted(self, *, is_away: bool) -> Iterator[None]:
        begun = time.monotonic()
        yield
        if is_away:
            self.outages.append(Away(begun, time.monotonic()))

    def _overload(self, seconds: float) -> None:
        self._load.speed_up(_OVERLOAD_TIMES)
        self.pause(seconds)
        self._load.speed_up(1.0)

    def _storm(self, seconds: float) -> None:
        """Have strangers join the workers' group and leave it: each moves partitions twice, and answers nothing."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            stranger = Consumer(
                {
                    "bootstrap.servers": self._stand.broker.server.endpoint,
                    "group.id": self._stand.settings.worker.group_id,
                    "partition.assignment.strategy": "cooperative-sticky",
                    "session.timeout.ms": 6_000,
                    "enable.auto.commit": False,
                    "logger": _quiet,
                }
            )
            stranger.subscribe([UTTERANCES])
            left = time.monotonic() + _STRANGER_SECONDS
            while time.monotonic() < left:
                stranger.poll(0.1)
            stranger.close()
