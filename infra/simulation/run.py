"""One simulated run: records come in, workers answer them, things break for a while, and in the end all is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from infra.simulation.checker import Checker, Violation
from infra.simulation.core import load_core
from infra.simulation.group import Group
from infra.simulation.log import Entry, Log
from infra.simulation.tiers import LABELS
from infra.simulation.worker import Worker
from infra.simulation.world import StuckError, World

if TYPE_CHECKING:
    from infra.simulation.core import Mutation

_FAULTY_SECONDS = 40.0
_PATIENCE_SECONDS = 60.0
"""After the last fault, everything is answered within it."""


class Played(NamedTuple):
    """What became of a run.

    Attributes:
        simulated_seconds: How long it took by its own clock.
        records: That came in.
        faults: That were drawn at calls to the broker, and from the schedule.
        violation: The first promise that was broken.
    """

    simulated_seconds: float
    records: int
    faults: int
    violation: Violation | None


def play(seed: int, mutation: Mutation | None = None) -> Played:
    """Play one run to its end, or to its first violation. Everything follows from the seed."""
    world = World(seed)
    asyncio.set_event_loop(world.loop)
    run = _Run(world, mutation)
    try:
        violation = world.loop.run_until_complete(run.play())
    except StuckError as stuck:
        violation = Violation("liveness", str(stuck))
    finally:
        run.end()
        asyncio.set_event_loop(None)
        world.loop.close()
    return Played(world.now, sum(map(len, run.log.input)), run.faults, violation)


class _Run:
    def __init__(self, world: World, mutation: Mutation | None) -> None:
        self._world = world
        self._core = load_core(mutation)
        chance = world.chance
        self._partitions = chance.randint(1, 4)
        self._fault_rate = chance.choice((0.0, 0.01, 0.05))
        self.checker = Checker(self._partitions)
        self.log = Log(world, self._partitions, lambda transaction: self.checker.settled(transaction, self.log.input))
        self._group = Group(world, self._partitions, self.log)
        self._workers: dict[str, Worker] = {}
        self._gone: list[Worker] = []
        self._names = [f"worker-{number}" for number in range(chance.randint(1, 3))]
        self._is_faulty = True
        self._scheduled = 0

    @property
    def faults(self) -> int:
        return self._scheduled + sum(worker.faults.drawn for worker in self._all())

    async def play(self) -> Violation | None:
        for name in self._names:
            self._start(name)
        feeding = asyncio.create_task(self._feed())
        breaking = asyncio.create_task(self._break())
        violation = await self._watch(_FAULTY_SECONDS)
        self._is_faulty = False
        await asyncio.gather(feeding, breaking)
        for worker in self._workers.values():
            worker.faults.rate = worker.faults.away_until = 0.0
            for tier in worker.tiers:
                tier.sickness = 0.0
        for partition in range(self._partitions):  # a batch that was lost is missed when the next one comes
            self._append(partition, f"text last {LABELS[0]}")
        violation = violation or await self._watch(_PATIENCE_SECONDS)
        violation = violation or self.checker.finished(self.log.input)
        for worker in self._workers.values():
            if violation is None and not worker.is_over:
                await worker.stop()
        return violation or self._found()

    def end(self) -> None:
        """Let go of all that still waits."""
        for worker in self._all():
            worker.kill()
        tasks = asyncio.all_tasks(self._world.loop)
        for task in tasks:
            task.cancel()
        self._world.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def _all(self) -> list[Worker]:
        return [*self._workers.values(), *self._gone]

    async def _watch(self, seconds: float) -> Violation | None:
        """Wait for so long, or until everything is answered; restart who has died."""
        deadline = self._world.now + seconds
        while self._world.now < deadline:
            await asyncio.sleep(0.5)
            if (violation := self._found()) is not None:
                return violation
            if not self._is_faulty and self.checker.is_complete(self.log.input):
                return None
            for name in self._names:
                worker = self._workers[name]
                if worker.is_over and (not self._is_faulty or self._world.happens(0.2)):
                    self._start(name)
        return None

    def _found(self) -> Violation | None:
        if self.checker.found is not None:
            return self.checker.found
        for worker in self._all():
            if worker.wrong:
                return Violation("answer", worker.wrong[0])
            for tier in worker.tiers:
                if tier.found is not None:
                    return tier.found
        if self._world.loop.broken:
            return Violation("error", self._world.loop.broken[0])
        return None

    def _start(self, name: str) -> None:
        former = self._workers.get(name)
        if former is not None:
            former.kill()
            self._gone.append(former)
        rate = self._fault_rate if self._is_faulty else 0.0
        worker = Worker(self._core, self._world, self.log, self._group, name=name, fault_rate=rate)
        self._workers[name] = worker
        worker.start()

    async def _feed(self) -> None:
        """Have records come in, singly and in crowds; some are no text, and some offsets are no record's."""
        chance = self._world.chance
        number = 0
        while self._is_faulty:
            await asyncio.sleep(chance.choice((0.05, 0.5, 5.0)))
            partition = chance.randrange(self._partitions)
            for _ in range(chance.choice((1, 3, 20))):
                number += 1
                kind = chance.random()
                words = f"text {number} {chance.choice(LABELS)}" if kind > 0.1 else f"odd {number}"  # noqa: PLR2004 - a tenth
                self._append(partition, None if kind > 0.95 else words)  # noqa: PLR2004 - one in twenty

    def _append(self, partition: int, words: str | None) -> None:
        timestamp_ms = int(self._world.wall_time() * 1000)
        self.log.append(partition, None if words is None else Entry(b"key", words.encode(), timestamp_ms))

    async def _break(self) -> None:
        """Break something every few seconds."""
        chance = self._world.chance
        while self._is_faulty and self._fault_rate:
            await asyncio.sleep(chance.uniform(0.5, 8.0))
            if not self._is_faulty:
                return
            self._scheduled += 1
            worker = self._workers[chance.choice(self._names)]
            fault = chance.choice(
                (self._kill, self._hold, self._stop, self._storm, self._cut_off, self._jump, self._lose_partition)
            )
            await fault(worker)

    async def _kill(self, worker: Worker) -> None:
        worker.kill()

    async def _hold(self, worker: Worker) -> None:
        worker.process.held_until = self._world.now + self._world.chance.choice((1.0, 4.0, 10.0))

    async def _stop(self, worker: Worker) -> None:
        if not worker.is_over:
            await worker.stop()

    async def _storm(self, _worker: Worker) -> None:
        for _ in range(self._world.chance.randint(1, 4)):
            self._group.rebalance()
            await asyncio.sleep(self._world.chance.uniform(0, 1))

    async def _cut_off(self, _worker: Worker) -> None:
        seconds = self._world.chance.uniform(0.1, 7.0)
        for worker in self._workers.values():
            worker.faults.away_until = self._world.now + seconds

    async def _jump(self, _worker: Worker) -> None:
        self._world.wall_offset += self._world.chance.uniform(-100, 100)

    async def _lose_partition(self, _worker: Worker) -> None:
        self.log.missing_partition = True
