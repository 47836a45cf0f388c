"""Follows the keys' log for ever, and opens texts with what it says; what was destroyed is opened no more at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from flags.log_tail import LogTail, TailObserver
from schemas.errors import InvalidEventError
from streams.privacy.key_ring import KeyRing, read_key_record
from streams.privacy.parts import KeysAwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

    from schemas.cloudevents import OpenText

_log = structlog.get_logger(__name__)

_STOP_SECONDS = 2.0
_CHECK_SECONDS = 2.0
_PATIENCE_SECONDS = 10.0
"""How long a text waits for its key, which stands on the log already or never will."""

_SWEEP_AGAIN_SECONDS = 30.0


class KeyFollower:
    """Follows the keys, group-less.

    Kafka closes a segment of a log only when more is written to it, and compacts none that is open: after the last key
    was destroyed, its older record would stay for as long as nobody writes another. So somebody has to.

    Args:
        ring: Has what the log says.
        new_consumer: Makes a consumer as `flags.clients.follower_config` configures it.
        admin: Tells where the log ends.
        topic: The keys' log.
        observer: Who counts.
        announce: Called after a key was destroyed; must not block.
        sweep: Writes a record that means nothing; blocking, now and then. None: somebody else does.
        sweep_seconds: How long after a key was destroyed: the topic's `max.compaction.lag.ms`.
    """

    def __init__(
        self,
        ring: KeyRing,
        *,
        new_consumer: Callable[[], Consumer],
        admin: AdminClient,
        topic: str,
        observer: TailObserver,
        announce: Callable[[], None] = lambda: None,
        sweep: Callable[[], None] | None = None,
        sweep_seconds: float = 3_600.0,
    ) -> None:
        self.ring = ring
        self._announce = announce
        self._sweep = sweep
        self._sweep_seconds = sweep_seconds
        self._news = threading.Condition()
        self._applied = 0
        self._verified_at = float("-inf")
        self._destroyed_at = self._written_at = 0.0
        self._swept_at = float("-inf")
        self._tail = LogTail(
            "keys-follower",
            new_consumer=new_consumer,
            admin=admin,
            topic=topic,
            listener=self,
            observer=observer,
            check_seconds=_CHECK_SECONDS,
        )

    @property
    def applied(self) -> int:
        """Return the first offset of the log that is not in force yet."""
        return self._applied

    def start(self) -> None:
        """Begin to follow, on a thread that keeps no process from ending."""
        self._tail.start()

    def stop(self) -> None:
        """Stop following; what is known goes on opening texts."""
        self._tail.stop(_STOP_SECONDS)

    def wait_until_applied(self, offset: int, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until everything before an offset is in force; so long at most without a record that comes.

        Raises:
            KeysAwayError: The broker went away meanwhile.
        """
        self._wait_for(lambda: self._applied >= offset, seconds)

    def wait_until_current(self, since: float, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until everything is in force that stood on the log then, a time of the monotonic clock.

        Args:
            since: That time.
            seconds: How long at most without a record that comes; to read a million people's keys takes longer.

        Raises:
            KeysAwayError: The broker went away meanwhile.
        """
        self._tail.end.ask_soon()
        self._wait_for(lambda: self._verified_at >= since, seconds)

    def opening(self) -> OpenText:
        """Return what opens texts that have come by now: with a key's id and a text, it returns what was sealed.

        It raises an InvalidEventError where there is no such key any more, or never was, and a KeysAwayError where
        it cannot be told. It waits for the log once at most.
        """
        since = time.monotonic()

        def open_text(key_id: str, text: str) -> str:
            if not self.ring.knows(key_id) and self._verified_at < since:
                self.wait_until_current(since)
            return self.ring.open(key_id, text)

        return open_text

    def _wait_for(self, arrived: Callable[[], bool], seconds: float) -> None:
        furthest = 0  # a log that is read again and again from its beginning gets nowhere
        with self._news:
            while not arrived():
                furthest = max(furthest, self._applied)
                if not self._news.wait_for(lambda: arrived() or self._applied > furthest, seconds):  # noqa: B023 - here
                    raise KeysAwayError("The keys of people could not be read to their end; the broker may be away.")

    # On the tail's thread.

    def began(self) -> None:
        """Expect every key again; what is known is no less true."""
        self._destroyed_at = self._written_at = 0.0

    def came(self, records: Sequence[Message], *, at_end: bool) -> None:  # noqa: ARG002 - the tail tells
        """Take what is new."""
        destroyed = False
        for record in records:
            self._written_at = record.timestamp()[1] / 1000
            try:
                name, key = read_key_record(record.key(), record.value())
            except InvalidEventError as fault:
                _log.warning("key_record_refused", offset=record.offset(), reason=str(fault))
                continue
            if key is not None and key.wrapped is None and key.generation:
                self._destroyed_at = self._written_at
            destroyed |= self.ring.apply(name, key)
        with self._news:
            self._applied = self._tail.reached
            self._news.notify_all()
        if destroyed:
            self._announce()

    def idled(self) -> None:
        """Take note of whether this is all there is; have a segment closed, if nobody else had."""
        end = self._tail.end
        if end.offset is not None and self._applied >= end.offset and end.asked_at > self._verified_at:
            with self._news:
                self._verified_at = end.asked_at
                self._news.notify_all()
        if self._sweep is not None and self._is_open_too_long():
            self._swept_at = time.monotonic()
            self._sweep()

    def _is_open_too_long(self) -> bool:
        """Return whether the last record of a key that was destroyed may still stand in the segment that is open."""
        closed_at = self._destroyed_at + self._sweep_seconds
        waiting = self._destroyed_at > 0 and self._written_at < closed_at <= time.time()
        return waiting and time.monotonic() - self._swept_at > min(self._sweep_seconds, _SWEEP_AGAIN_SECONDS)
