"""A worker's flags, followed on their log, as a service; and what it does about records that do not count."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from mode import Service

from flags.restorer import Restorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.evaluation import Snapshot
    from flags.follower import Follower, FollowerObserver
    from flags.refusals import RefusedRecord
    from flags.writer import Writer

_log = structlog.get_logger(__name__)


_CATCH_UP_SECONDS = 2.0


class FlagsMetrics(Protocol):
    """Who counts. Called from the follower's thread; must not block."""

    def flags_applied(self, revision: int) -> None:
        """Show the revision that decides from now on."""

    def flag_record_refused(self, code: str) -> None:
        """Count a record of the changelog that does not count."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class FlagsFollowed:
    """What a worker does about what its follower meets: it counts, and has damage mended.

    Args:
        metrics: Who counts.
        announce: Called when a new snapshot decides; must not block.
        notice: Called when a record was refused; must not block.
    """

    def __init__(self, metrics: FlagsMetrics, *, announce: Callable[[], None], notice: Callable[[], None]) -> None:
        self._metrics = metrics
        self._announce = announce
        self._notice = notice
        self._warnings: tuple[str, ...] = ()

    def applied(self, snapshot: Snapshot) -> None:
        """Tell the others, and show the new revision."""
        self._announce()
        self._metrics.flags_applied(snapshot.revision)
        _log.info("flags_applied", revision=snapshot.revision)
        for warning in snapshot.warnings:
            if warning not in self._warnings:
                _log.warning("flags_warning", warning=warning)
        self._warnings = snapshot.warnings

    def refused(self, record: RefusedRecord) -> None:
        """Count it; the last good state serves on, and is put back into the changelog."""
        self._metrics.flag_record_refused(record.refusal.code)
        self._notice()

    def broker_error(self, code: str) -> None:
        """Count it."""
        self._metrics.broker_error(code)

    def unexpected(self, guard: str) -> None:
        """Count it."""
        self._metrics.unexpected(guard)


class Flags(Service):
    """Follows the changelog for as long as the worker runs.

    Args:
        new_follower: Makes the follower, which tells this observer.
        writer: Mends what is damaged.
        announce: Called, on the follower's thread, when a new snapshot decides; must not block.
        metrics: Who counts.
    """

    def __init__(
        self,
        *,
        new_follower: Callable[[FollowerObserver], Follower],
        writer: Writer,
        announce: Callable[[], None],
        metrics: FlagsMetrics,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._writer = writer
        self._restorer = Restorer(
            damaged=lambda: self._follower.damaged,
            restore=writer.restore,
            strays=lambda: self._follower.strays,
            bury_strays=writer.bury_strays,
        )
        self._follower = new_follower(FlagsFollowed(metrics, announce=announce, notice=self._restorer.notice))

    @property
    def follower(self) -> Follower:
        """Return what holds the snapshot."""
        return self._follower

    async def catch_up(self) -> None:
        """Return once all flags decide that stood on the log when this was called; with the broker away, never."""
        while not await asyncio.to_thread(self._follower.wait_until_current, _CATCH_UP_SECONDS):
            _log.info("flags_not_current_yet", revision=self._follower.snapshot.revision)

    async def on_start(self) -> None:
        """Begin to follow; until the log's end is reached, the last state known on this machine decides."""
        self._follower.start()
        self._restorer.start()

    async def on_stop(self) -> None:
        """Stop following; the snapshot goes on answering."""
        await asyncio.to_thread(self._restorer.stop)
        await asyncio.to_thread(self._follower.stop)
        await asyncio.to_thread(self._writer.close)
