"""Keeps a worker that was taken for dead from deciding by flags that the others believe nobody has any more.

Who waits for a flag change to be in force everywhere does not wait for the dead. But a worker that was frozen wakes up,
and its first batch would be decided by the flags it fell asleep with. So each keeps account of its own lease: it is
counted on for as long as an acknowledged presence has not expired since it was *sent*, which is sooner than in the eyes
of any other. Once that has lapsed, decisions wait until a new presence stands on the log, and then until all flags are
read that stood there after it. Whatever is changed later, its author finds that presence and waits for us.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from schemas.cloudevents import Received
    from streams.classify import Decider
    from streams.results import Decision

_log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 5.0
"""How long decisions wait for a broker that was there last; then they are made, for answers come before flags."""

_SHARE = 5 / 6
"""Of a presence's expiry; the rest is for others to read, before they give us up, what we wrote just in time."""


def lease_clock() -> float:
    """Return seconds that pass while the process, or the whole machine where it can tell, is asleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseObserver(Protocol):
    """Who counts. Called on the event loop; must not block."""

    def lease_lapsed(self, *, renewed: bool) -> None:
        """Count that decisions had to wait, and whether the flags are known to be the latest now."""


class Lease:
    """Whether others count on this worker's flags.

    Args:
        expires_seconds: Of our presence.
        beat: Publishes a presence; returns, once that is acknowledged, when it was sent, on `clock`.
        catch_up: Returns once all flags are applied that stood on the log when it was called.
        broker_away: Whether it is known that there is no broker to wait for; must not wait.
        observer: Who counts.
        clock: In seconds.
    """

    def __init__(
        self,
        *,
        expires_seconds: float,
        beat: Callable[[], Awaitable[float]],
        catch_up: Callable[[], Awaitable[None]],
        broker_away: Callable[[], bool],
        observer: LeaseObserver,
        clock: Callable[[], float] = lease_clock,
    ) -> None:
        self._seconds = expires_seconds * _SHARE
        self._beat = beat
        self._catch_up = catch_up
        self._broker_away = broker_away
        self._observer = observer
        self._clock = clock
        self._until = self._excused_until = float("-inf")
        self._renewal: asyncio.Task[None] | None = None

    def acknowledged(self, sent_at: float) -> None:
        """Take note that a presence stands on the log; one that came too late extends nothing. From any thread."""
        if self._clock() < self._until:
            self._until = max(self._until, sent_at + self._seconds)
        else:
            self._excused_until = float("-inf")  # the broker is back

    async def hold(self) -> None:
        """Return when a decision may be made: at once, unless the lease has lapsed."""
        if self._clock() < max(self._until, self._excused_until):
            return
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(), name="lease")
        await asyncio.shield(self._renewal)

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(0.0 if self._broker_away() else _PATIENCE_SECONDS):
                sent_at = await self._beat()
                await self._catch_up()
        except TimeoutError:
            self._excused_until = self._clock() + self._seconds
            self._observer.lease_lapsed(renewed=False)
            _log.warning("flags_may_be_old", because="The broker did not answer.")
        else:
            self._until = sent_at + self._seconds
            self._observer.lease_lapsed(renewed=True)
        finally:
            self._renewal = None


class LeasedDecider:
    """A decider that decides while its lease holds."""

    def __init__(self, decider: Decider, lease: Lease) -> None:
        self._decider = decider
        self._lease = lease

    async def decide(self, utterances: Sequence[Received]) -> Sequence[Decision]:
        """Return one decision for each utterance, in their order."""
        await self._lease.hold()
        return await self._decider.decide(utterances)
