"""A worker among the others: says that it is there, knows who else is, and when a flag change is in force with all."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import structlog
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE
from mode import Service

from flags.log_tail import LogTail, TailObserver
from flags.propagation import Applied
from schemas.events import Presence
from streams.fleet.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

    from streams.fleet.presence import PresencePublisher

_log = structlog.get_logger(__name__)
_decoder = msgspec.json.Decoder(Presence)


class WorkersObserver(TailObserver, Protocol):
    """Who counts. Called on the tail's thread; must not block."""

    def presence_refused(self) -> None:
        """Count a record that is no presence."""


BEATS = 3
"""A worker not heard of for so many presences in a row counts as dead."""

_DEAF_BEATS = 2
_AFTER_SECONDS = 0.005
_STOP_SECONDS = 2.0


class Workers(Service):
    """Publishes our presence and follows everybody's. Safe to ask from any thread, `wait_applied` from its loop.

    Args:
        worker_id: Ours.
        started_at: Of our presence; tells this life from an earlier one with the same id.
        publisher: Publishes our presence.
        new_consumer: Makes a consumer as `flags.clients.follower_config` configures it.
        admin: Tells where the log ends.
        topic: The workers' topic.
        observer: Who counts.
        every_seconds: From one presence of ours to the next.
    """

    def __init__(
        self,
        *,
        worker_id: str,
        started_at: str,
        publisher: PresencePublisher,
        new_consumer: Callable[[], Consumer],
        admin: AdminClient,
        topic: str,
        observer: WorkersObserver,
        every_seconds: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._worker_id = worker_id
        self._started_at = started_at
        self._publisher = publisher
        self._observer = observer
        self._roster = Roster(_DEAF_BEATS * every_seconds)
        self._tail = LogTail(
            "workers-follower", new_consumer=new_consumer, admin=admin, topic=topic, listener=self, observer=observer
        )
        self._first_pass = True
        self._expires_seconds = BEATS * every_seconds
        self._knows_all_at = float("inf")
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def live(self) -> dict[str, Presence]:
        """Return the workers that are alive, by id."""
        return self._roster.live(time.monotonic())

    async def wait_applied(self, revision: int, deadline_seconds: float) -> Applied:
        """Return once every live worker has applied a revision of the flags, or when the deadline is over.

        We count as one of them, by what stands on the log: our own presence with the revision was appended after the
        change could be read, so once we read that, we have read every presence that was appended before the change.
        A worker that comes later, or back from the dead, reads the flags after its presence stands there
        (`streams.fleet.lease`), and so knows the change.

        Nobody is taken for dead by a time that another machine's clock has written: one that we take for dead because
        it seems to have been silent before we listened has an expiry's time from then on to be heard of.

        Args:
            revision: Of the flags; all before it are applied as well.
            deadline_seconds: How long to wait at most.
        """
        deadline = time.monotonic() + deadline_seconds
        news = asyncio.Event()
        ear = asyncio.get_running_loop(), news
        self._waiting.add(ear)
        try:
            while True:
                news.clear()
                now = time.monotonic()
                live = self._roster.live(now)
                missing = self._missing(live, revision, now)
                if not missing or now >= deadline:
                    return Applied(workers=len(live.keys() - missing), missing=tuple(sorted(missing)))
                patience = min(deadline - now, self._roster.next_death(now), _later(self._knows_all_at - now))
                try:
                    async with asyncio.timeout(patience + _AFTER_SECONDS):
                        await news.wait()
                except TimeoutError:
                    continue  # somebody died, or the deadline is over
        finally:
            self._waiting.discard(ear)

    async def on_start(self) -> None:
        """Begin to listen; the publisher begins once the topics are there."""
        self._tail.start()

    async def on_stop(self) -> None:
        """Delete our presence. Nothing of this worker decides any more."""
        await asyncio.to_thread(self._publisher.stop)
        await asyncio.to_thread(self._tail.stop, _STOP_SECONDS)

    def _missing(self, live: dict[str, Presence], revision: int, now: float) -> set[str]:
        ours = live.get(self._worker_id)
        missing = {name for name, presence in live.items() if presence.flags_revision < revision}
        heard_all = not self._first_pass and now >= self._knows_all_at
        if not heard_all or ours is None or ours.started_at != self._started_at:
            missing.add(self._worker_id)
        return missing

    # On the tail's thread.

    def began(self) -> None:
        """Take what comes for old until the end was reached."""
        self._first_pass = True
        self._knows_all_at = float("inf")

    def came(self, records: Sequence[Message], *, at_end: bool) -> None:
        """Take presences, and tell those who wait."""
        now, wall = time.monotonic(), time.time()
        for record in records:
            self._hear(record, now, wall)
        if at_end and self._first_pass:
            self._first_pass = False
            self._knows_all_at = now + self._expires_seconds
        for loop, news in tuple(self._waiting):
            loop.call_soon_threadsafe(news.set)

    def idled(self) -> None:
        """Have nothing to do."""

    def _hear(self, record: Message, now: float, wall: float) -> None:
        key, value = record.key(), record.value()
        try:
            worker_id = key.decode() if isinstance(key, bytes) else str(key or "")
            presence = None if value is None else _decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._observer.presence_refused()
            _log.warning("presence_record_refused", offset=record.offset(), fault=type(error).__name__)
            return
        kind, at_ms = record.timestamp()
        dated = self._first_pass and kind != TIMESTAMP_NOT_AVAILABLE
        self._roster.hear(worker_id, presence, now=now, age_seconds=wall - at_ms / 1000 if dated else 0.0)


def _later(seconds: float) -> float:
    """Return a time to come; one that is over is never."""
    return seconds if seconds > 0 else float("inf")
