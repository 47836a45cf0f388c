"""One worker's life: the real intake, exchange and chain of a process that is killed, held, stopped, started anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from infra.simulation.clients import Broker, SimulatedConsumer, SimulatedProducer
from infra.simulation.faults import Faults
from infra.simulation.log import DEAD_LETTERS, INPUT, RESULTS
from infra.simulation.tiers import LABELS, ScriptedTier
from infra.simulation.world import Process
from schemas import settings
from schemas.events import Outcome
from streams.batches import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.simulation.core import Core
    from infra.simulation.group import Group
    from infra.simulation.log import Log
    from infra.simulation.world import World
    from schemas.events import Attempt

LIMITS = settings.Chain(tier_deadline_seconds=0.5, breaker_failures=2, breaker_open_seconds=2.0)
_TIERS = ("distilbert", "zero_shot", "rules")
_SLACK_SECONDS = 1e-6


class Channel:
    """As Faust's, of one batch, that somebody always listens to.

    Args:
        loses: Says whether the next batch is lost on the way.
    """

    subscriber_count = 1

    def __init__(self, loses: Callable[[], bool]) -> None:
        self._loses = loses
        self._queue: asyncio.Queue[Any] = asyncio.Queue(1)

    async def put(self, batch: Any) -> None:
        """Wait for room."""
        if not self._loses():
            await self._queue.put(batch)

    async def get(self) -> Any:
        """Wait for a batch."""
        return await self._queue.get()


class Worker:
    """A process that answers.

    Args:
        core: What it runs.
        world: Time and chance.
        log: Of the broker.
        group: Of the broker.
        name: Its id, which is its `transactional.id` and `group.instance.id`.
        fault_rate: How likely each call to the broker fails.
    """

    def __init__(self, core: Core, world: World, log: Log, group: Group, *, name: str, fault_rate: float) -> None:
        self.name = name
        self.process = Process(world.loop)
        self.faults = Faults(world, self.process, fault_rate)
        self.tiers = [
            ScriptedTier(tier, world, LIMITS, world.chance.choice((0.0, 0.1, 0.6)) if fault_rate else 0.0)
            for tier in _TIERS
        ]
        self.wrong: list[str] = []
        self._world = world
        self._log = log
        broker = Broker(world, log, group, self.process, self.faults)
        core.world, core.process = world, self.process
        self._chain = core.of("models.chain", "Chain")(self.tiers, LABELS, LIMITS, clock=world.loop.time, observer=self)
        exchange = core.of("streams.exchange", "Exchange")(
            new_consumer=lambda: SimulatedConsumer(broker, name),
            new_producer=lambda: SimulatedProducer(broker, name),
            topics=[INPUT],
            drain_seconds=3.0,
            session_seconds=6.0,
            repair=self._repair,
            observer=self,
        )
        self._channel = Channel(lambda: self.faults.rate > 0 and world.happens(self.faults.rate / 10))
        self._intake = core.of("streams.intake", "Intake")(
            exchange=exchange,
            channel=self._channel,
            settings=settings.Intake(max_batch_records=world.chance.choice((1, 5, 100))),
            prepare=lambda: None,
            observer=self,
        )
        self._tasks: list[asyncio.Task[Any]] = []

    @property
    def is_over(self) -> bool:
        """Return whether it has died, stopped, or found that another has its id."""
        return self.process.dead or self._intake.crashed or self._intake.should_stop

    def start(self) -> None:
        """Begin to answer."""
        self._tasks += [
            self._world.loop.create_task(self._intake.on_start()),
            self._world.loop.create_task(self._agent()),
        ]

    def kill(self) -> None:
        """End it where it is."""
        self.process.kill()
        if self._intake._fetched is not None:  # noqa: SLF001 - a process takes all of its tasks with it
            self._tasks.append(self._intake._fetched)  # noqa: SLF001
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """Stop it as SIGTERM does, and see that it comes to its end in time."""
        begun = self._world.now
        self._intake._stopped_set()  # noqa: SLF001 - what `stop` does, without what Faust does beside
        await self._intake.on_stop()
        if self._world.now - begun > 3.0 + 2 * 2.0 + 0.1 and not self.process.held_until:
            self.wrong.append(f"stopping took {self._world.now - begun:.1f} s")
        self.kill()

    async def _agent(self) -> None:
        while True:
            await self._intake.answer(await self._channel.get(), self._classify)

    async def _classify(self, batch: Any) -> list[Outgoing]:
        """Answer as `streams.classify` does, in the simplest of formats."""
        if self.faults.rate and self._world.happens(self.faults.rate / 5):
            raise RuntimeError("simulated")
        outgoing, texts = [], []
        for record in batch.records:
            if record.value().startswith(b"text "):
                texts.append((record, record.value().decode()))
            else:
                outgoing.append(Outgoing(DEAD_LETTERS, _place(record) + b" invalid", None, 0))
        begun = self._world.now
        answers = await self._chain.classify([text for _, text in texts], self._order())
        if self._world.now - begun > len(_TIERS) * LIMITS.tier_deadline_seconds + _SLACK_SECONDS:
            self.wrong.append(f"{len(texts)} texts took {self._world.now - begun:.3f} s")
        if len(answers) != len(texts):
            self.wrong.append(f"{len(texts)} texts got {len(answers)} answers")
        for (record, _), answer in zip(texts, answers, strict=False):
            value = _place(record) + f" {answer.intent or 'out_of_scope'} {answer.tier}".encode()
            outgoing.append(Outgoing(RESULTS, value, record.key(), record.partition()))
        return outgoing

    def _order(self) -> Sequence[str]:
        return self._world.chance.choice((_TIERS, _TIERS[::-1], _TIERS[1:], _TIERS[2:]))

    def _repair(self) -> None:
        self._log.missing_partition = False

    # What the core tells.

    def tier_called(self, attempt: Attempt, _texts: int) -> None:
        """See which tiers are left alone."""
        if attempt.outcome is Outcome.OPEN:
            next(tier for tier in self.tiers if tier.name == attempt.tier).skipped()

    def unexpected(self, guard: str) -> None:
        """No guard may catch anything but what was thrown at it on purpose."""
        if guard != "answer":
            self.wrong.append(f"the guard of {guard} caught something")

    def __getattr__(self, _told: str) -> Any:
        return _listen


def _listen(*_told: object, **_more: object) -> None:
    pass


def _place(record: Any) -> bytes:
    return f"{record.partition()}:{record.offset()}".encode()
