"""Follows the changelog: a thread that folds what comes into a snapshot, which is swapped at once.

Group-less: every process reads the whole topic from its beginning and commits nothing. Until the end was reached once,
the last-known-good snapshot from disk serves, else the defaults; so no half-read history is ever seen.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from flags.compiling import Origin
from flags.evaluation import Snapshot
from flags.last_known import load_last_known, save_last_known
from flags.log_tail import LogTail
from flags.refusals import RecordFold, RefusedRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

    from schemas.events import FlagChange

_log = structlog.get_logger(__name__)


class FollowerObserver(Protocol):
    """Who is told what a follower meets. Called on its thread; must not block."""

    def applied(self, snapshot: Snapshot) -> None:
        """Take note of a new snapshot."""

    def refused(self, record: RefusedRecord) -> None:
        """Count and report a record that does not count."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself, or that trying again mends."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class Follower:
    """The flags of this process, kept up to date.

    Args:
        new_consumer: Makes a consumer as `flags.clients.follower_config` configures it.
        admin: Tells where the log ends and whether it is still the same topic.
        topic: The changelog.
        overrides: What the environment says.
        last_known: The file where the state is kept for the next start.
        observer: Who is told.
        save_seconds: The state is saved at most this often.
        check_seconds: How often the broker is asked where the log ends.
        stuck_seconds: As of `flags.log_tail.LogTail`.
    """

    def __init__(
        self,
        *,
        new_consumer: Callable[[], Consumer],
        admin: AdminClient,
        topic: str,
        overrides: Mapping[str, bool],
        last_known: Path,
        observer: FollowerObserver,
        save_seconds: float = 5.0,
        check_seconds: float = 2.0,
        stuck_seconds: float = 15.0,
    ) -> None:
        self._tail = LogTail(
            "flags-follower",
            new_consumer=new_consumer,
            admin=admin,
            topic=topic,
            listener=self,
            observer=observer,
            check_seconds=check_seconds,
            stuck_seconds=stuck_seconds,
        )
        self._topic = topic
        self._overrides = overrides
        self._last_known = last_known
        self._observer = observer
        self._save_seconds = save_seconds
        self._caught_up = threading.Event()
        self._known_current_at = float("-inf")
        self._verified = threading.Condition()
        self._verified_at = float("-inf")
        self.began()
        self._saved_revision, self._saved_at = 0, 0.0
        self._unsaved: str | None = None
        known = load_last_known(last_known)
        changes = {} if known is None else {change.name: change for change in known.changes}
        self.snapshot = Snapshot(
            overrides, 0 if known is None else known.revision, changes=changes, origin=Origin.SNAPSHOT
        )

    snapshot: Snapshot
    """The flags as they stand; replaced, never changed."""

    @property
    def caught_up(self) -> bool:
        """Return whether the log's end has been reached once, so that the snapshot is the log's and not the disk's."""
        return self._caught_up.is_set()

    @property
    def damaged(self) -> frozenset[str]:
        """Return the flags whose newest record does not count, once the end has been reached."""
        return self._damaged

    @property
    def strays(self) -> frozenset[bytes]:
        """Return the keys of records that are no flag's and still stand there, once the end has been reached."""
        return self._strays

    @property
    def age_seconds(self) -> float:
        """Return for how long it is not known that the snapshot is all there is; infinite before the first time."""
        return time.monotonic() - self._known_current_at

    @property
    def unsaved(self) -> str | None:
        """Return why the state could not be saved when that was tried last, for a person; None: it could."""
        return self._unsaved

    @property
    def lag(self) -> int | None:
        """Return how many offsets are still to be read, as the broker said last; None: it never said."""
        end = self._tail.end.offset
        return None if end is None else max(0, end - self._tail.reached)

    def start(self) -> None:
        """Begin to follow, on a thread that keeps no process from ending."""
        self._tail.start()

    def wait_until_caught_up(self, seconds: float) -> bool:
        """Wait until the end has been reached once; return whether it was."""
        return self._caught_up.wait(seconds)

    def wait_until_current(self, seconds: float) -> bool:
        """Wait until the snapshot holds all that stood on the log when this was called; return whether it does.

        The broker is asked: how far we were when we last heard from it does not tell where the log ends now.
        """
        begun = time.monotonic()
        self._tail.end.ask_soon()
        with self._verified:
            return self._verified.wait_for(lambda: self._verified_at >= begun, seconds)

    def stop(self, seconds: float = 5.0) -> None:
        """Stop following and save the state; the snapshot goes on answering."""
        if self._tail.stop(seconds):
            self._save(anyway=True)

    # On the tail's thread.

    def began(self) -> None:
        """Forget what was folded; the snapshot stays until the end has been reached again."""
        self._folding = RecordFold(self._topic)
        self._first_pass = True  # until the end has been reached
        self._damaged: frozenset[str] = frozenset()
        self._strays: frozenset[bytes] = frozenset()
        self._refused: list[RefusedRecord] = []  # not told of yet
        self._published: Mapping[str, FlagChange] | None = None

    def came(self, records: Sequence[Message], *, at_end: bool) -> None:
        """Fold what came, and show what it amounts to."""
        for record in records:
            refused = self._folding.add(record, old=self._first_pass)
            if refused is not None:
                self._refused.append(refused)
        self._publish(at_end=at_end)

    def idled(self) -> None:
        """Take note of what the broker says of the log's end, and save, now and then."""
        self._note_end()
        self._save()

    def _publish(self, *, at_end: bool) -> None:
        if at_end:
            self._refused += self._folding.settle(old=self._first_pass)
            self._known_current_at = time.monotonic()
            self._first_pass = False
        else:
            self._folding.advance()
        if self._first_pass:
            return
        fold = self._folding.fold
        self._damaged, self._strays = fold.damaged, fold.strays
        if fold.changes is not self._published or fold.revision != self.snapshot.revision:
            self._published = fold.changes
            self.snapshot = Snapshot(self._overrides, fold.revision, changes=fold.changes, before=self.snapshot)
            self._observer.applied(self.snapshot)
        self._caught_up.set()
        self._report()

    def _report(self) -> None:
        """Tell of what was refused, once it can be seen what it damaged."""
        refused, self._refused = self._refused, []
        for record in refused:
            refusal = record.refusal
            _log.warning("flag_record_refused", flag=refusal.name, offset=refusal.offset, code=refusal.code)
            self._observer.refused(record)

    def _note_end(self) -> None:
        """Take note if what is shown is all there is: that the broker said so after it was asked, and when it was."""
        end = self._tail.end
        if end.offset is None or end.offset > self._tail.reached:
            return
        self._known_current_at = max(self._known_current_at, end.asked_at)
        if end.asked_at > self._verified_at:
            with self._verified:
                self._verified_at = end.asked_at
                self._verified.notify_all()

    def _save(self, *, anyway: bool = False) -> None:
        """Save what is shown, if it is the log's and not saved yet, and the last time was long enough ago."""
        shown, now = self.snapshot, time.monotonic()
        due = anyway or now - self._saved_at >= self._save_seconds
        if not due or not self._caught_up.is_set() or shown.revision == self._saved_revision:
            return
        self._saved_at = now
        try:
            save_last_known(self._last_known, shown.changes, shown.revision)
        except OSError as error:
            self._observer.unexpected("flags_save")
            if error.strerror != self._unsaved:
                _log.warning("flags_not_saved", path=str(self._last_known), fault=error.strerror)
            self._unsaved = error.strerror or type(error).__name__
        else:
            self._saved_revision, self._unsaved = shown.revision, None
