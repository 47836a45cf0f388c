"""The Faust service that feeds an agent with batches and commits what the agent answers.

It owns the two threads on which the exchange may block, so that the event loop never does. A batch is fetched when the
agent is free for it, so that it holds all that has come by then; ahead of that only while batches are full. While one
transaction is under way, the next batches are fetched and answered; they become the next transaction together. A full
channel, and too many records waiting to be committed, are the backpressure.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from mode import Service

from health.logs import describe_fault
from models.threads import DaemonThread
from schemas.errors import UnavailableError
from streams.batches import join
from streams.membership import MemberFencedError
from streams.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from faust.types import ChannelT

    from health.lag import PartitionLag
    from schemas.settings import Intake as IntakeSettings
    from streams.batches import Batch, Outgoing
    from streams.exchange import Exchange

_log = structlog.get_logger(__name__)

_IDLE_SECONDS = 0.1
"""How long a fetch waits for a first record, and so how soon a stop is noticed."""

_AGENT_SECONDS = 1.0
"""How long the next fetch waits for an agent at work: the group must hear of us, and a batch may never come back."""

_CLOSE_SECONDS = 2.0
_LISTENER_SECONDS = 0.01
_GIVEN_UP_SECONDS = 0.5
"""Before records are fetched again that the agent could not answer for a reason nobody foresaw."""

_LAG_EVERY_SECONDS = 1.0
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class IntakeObserver(Protocol):
    """Who wants to know how far behind the intake is, and what it survived."""

    def lagging(self, lag: dict[tuple[str, int], PartitionLag]) -> None:
        """Show what is not answered yet, by topic and partition."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class Intake(Service):
    """Fetches batches into a channel, commits them with their answers.

    Args:
        exchange: What to fetch from and commit to.
        channel: Where batches go; of a small fixed size.
        settings: How large, how long.
        prepare: Blocking; called until it succeeds before the group is joined (topics must exist by then).
        observer: Who is told how far behind the intake is.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        channel: ChannelT[Batch],
        settings: IntakeSettings,
        prepare: Callable[[], None],
        observer: IntakeObserver,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._exchange = exchange
        self._channel = channel
        self._settings = settings
        self._prepare = prepare
        self._observer = observer
        self._pace = Pace(target_seconds=settings.target_batch_seconds, max_records=settings.max_batch_records)
        self._fetching = DaemonThread("intake-fetch")
        self._committing = DaemonThread("intake-commit")
        self._answered: deque[tuple[Batch, Iterable[Outgoing]]] = deque()
        self._commit: asyncio.Future[bool] | None = None
        self._fetched: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._joined = False
        self._lag_due = 0.0

    async def answer(self, batch: Batch, classify: Callable[[Batch], Awaitable[Iterable[Outgoing]]]) -> None:
        """Answer a batch and hand it over to be committed, in the order of the calls.

        While one transaction is under way, what is answered meanwhile waits and becomes the next one together: under a
        slow broker, transactions grow instead of queueing. Returns when there is room for another batch.
        """
        begun = time.monotonic()
        try:
            outgoing = await classify(batch)
        except BaseException as error:
            # In the committing thread's queue it stands before every later batch, which it makes void.
            self._committing.submit(self._exchange.give_up, batch)
            if not isinstance(error, Exception):
                raise
            self._observer.unexpected("answer")
            _log.error("intake_batch_given_up", records=len(batch.records), **describe_fault(error))
            await self.sleep(_GIVEN_UP_SECONDS)
            self._wanted.set()
            return
        self._pace.observe(len(batch.records), time.monotonic() - begun)
        self._answered.append((batch, outgoing))
        self._commit_answered()
        while self._commit is not None and self._records_waiting() >= self._settings.max_batch_records:
            await asyncio.wait([self._commit])
        self._wanted.set()

    async def on_start(self) -> None:
        """Begin to fetch, beside everything else that starts: the broker may be away."""
        self._fetched = asyncio.create_task(self._fetch_forever(), name="intake")

    async def on_stop(self) -> None:
        """Stop fetching, let what is in flight be committed, leave. Every step is bounded: the broker may be away."""
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._settings.drain_seconds
        if not self._joined:
            self._exchange.stop()  # nothing is in flight yet
        self._wanted.set()
        await self._fetching_ended(deadline)
        drained = await loop.run_in_executor(None, self._exchange.drain, max(0.0, deadline - time.monotonic()))
        self._exchange.stop()
        closed = await self._fetching_ended(time.monotonic() + _CLOSE_SECONDS) and await self._close()
        _log.info("intake_stopped", drained=drained, closed=closed)

    async def _fetching_ended(self, deadline: float) -> bool:
        if self._fetched is None:
            return True
        done, _ = await asyncio.wait([self._fetched], timeout=max(0.0, deadline - time.monotonic()))
        return bool(done)

    async def _close(self) -> bool:
        """Leave the group; return whether that came to its end.

        The threads stay until the process ends: an agent that is slow to stop may still hand over what is void now.
        """
        closing = asyncio.get_running_loop().run_in_executor(self._fetching, self._exchange.close)
        done, _ = await asyncio.wait([closing], timeout=_CLOSE_SECONDS)
        return bool(done)

    def _commit_answered(self) -> None:
        """Begin a transaction with what is answered, unless one is under way."""
        if self._commit is not None or not self._answered:
            return
        batches, outgoing = zip(*self._take_answered(), strict=True)
        self._commit = asyncio.get_running_loop().run_in_executor(
            self._committing, self._exchange.commit, join(batches), chain.from_iterable(outgoing)
        )
        self._commit.add_done_callback(self._committed)

    def _take_answered(self) -> list[tuple[Batch, Iterable[Outgoing]]]:
        """Take the oldest batch and those after it that may be committed with it: no gap, not too many records."""
        taken = [self._answered.popleft()]
        records = len(taken[0][0].records)
        while self._answered and _follows(taken[-1][0], self._answered[0][0]):
            records += len(self._answered[0][0].records)
            if records > self._settings.max_batch_records:
                break
            taken.append(self._answered.popleft())
        return taken

    def _committed(self, commit: asyncio.Future[bool]) -> None:
        self._commit = None
        if not commit.cancelled() and (error := commit.exception()) is not None:
            self._observer.unexpected("commit")
            _log.critical("intake_commit_broken", **describe_fault(error))
        self._commit_answered()

    def _records_waiting(self) -> int:
        return sum(len(batch.records) for batch, _ in self._answered)

    async def _fetch_forever(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            if not await self._open():
                return
            self._joined = True
            while not self.should_stop:
                limit = self._pace.limit
                batch = await loop.run_in_executor(self._fetching, self._fetch, limit)
                if batch is None:
                    continue
                if len(batch.records) < limit:
                    self._wanted.clear()
                await self._deliver(batch)
                await self._until_wanted()
        except MemberFencedError as error:
            await self.crash(error)
        except Exception as error:  # noqa: BLE001 - the fetch's guard: without it a bug would be a stalled worker
            self._observer.unexpected("fetch")
            _log.critical("intake_fetch_failed", **describe_fault(error))
            await self.crash(error)

    async def _deliver(self, batch: Batch) -> None:
        """Put a batch before the agent; Faust's channels drop what is put while nobody listens yet."""
        while not self._channel.subscriber_count and not self.should_stop:
            await self.sleep(_LISTENER_SECONDS)
        await self._channel.put(batch)  # type: ignore[arg-type]  # a channel takes any value; Faust types only events

    async def _until_wanted(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGENT_SECONDS):
                await self._wanted.wait()

    def _fetch(self, limit: int) -> Batch | None:
        batch = self._exchange.fetch(limit, _IDLE_SECONDS)
        now = time.monotonic()
        if now >= self._lag_due:
            self._lag_due = now + _LAG_EVERY_SECONDS
            self._observer.lagging(self._exchange.lag())
        return batch

    async def _open(self) -> bool:
        """Wait for the broker and join the group; return False if stopped before."""
        loop = asyncio.get_running_loop()
        tries = 0
        while not self.should_stop:
            try:
                await loop.run_in_executor(self._fetching, self._prepare)
                await loop.run_in_executor(self._fetching, self._exchange.open)
            except UnavailableError as error:
                _log.warning("intake_waiting_for_broker", detail=str(error))
                await self.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])
                tries += 1
            else:
                return True
        return False


def _follows(before: Batch, after: Batch) -> bool:
    """Return whether one was fetched right after the other; where a batch is missing, the exchange must find out."""
    return (after.epoch, after.number) == (before.epoch, before.number + 1)
