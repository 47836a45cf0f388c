"""Writes flag changes, one writer at a time without a lock: who takes the turn fences who had it.

In its turn (`flags.turns`) a writer reads the log to its end, so that a change is compared with all that was ever
accepted, and writes to the changelog and the audit in one transaction. A change that lost is in neither. See
docs/adr/0004.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from typing import TYPE_CHECKING, TypeVar

import msgspec
import structlog

from flags.changelog import InvalidRecordError, flag_name, read_change
from flags.edits import propose
from flags.known_log import MARKER, KnownLog
from flags.log_reader import LogReader
from flags.refusals import dead_letter, read_to_header
from flags.turns import Turns
from schemas.cloudevents import event_headers
from schemas.events import CE_TYPES, FlagChange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Consumer, Producer

    from flags.changelog import Fold
    from flags.edits import Edit
    from flags.refusals import RefusedRecord

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_AUDIT_TAIL = 200
_STRAYS = 1_000  # in one transaction

_MARKER_SECONDS = 5.0
_MARKER_POLL_SECONDS = 0.01

_EVENT_TYPE = CE_TYPES[FlagChange]


class Writer:
    """Writes changes of flags. Any thread may call it; calls wait for each other.

    It keeps its turn between changes, and so needs no broker call but the transaction's while nobody else writes.

    Args:
        new_producer: Makes a producer as `flags.clients.writer_config` configures it.
        new_consumer: Makes a consumer as `flags.clients.reader_config` configures it.
        topic: The changelog's.
        audit_topic: Of every change there ever was.
        dead_letter_topic: Where records go that do not count, in the transaction that takes their place.
        worker_id: Who we are, for dead letters.
        buried: Told of each dead letter that was written; must not block.
    """

    def __init__(
        self,
        *,
        new_producer: Callable[[], Producer],
        new_consumer: Callable[[], Consumer],
        topic: str,
        audit_topic: str,
        dead_letter_topic: str,
        worker_id: str,
        buried: Callable[[RefusedRecord], None] = lambda _record: None,
    ) -> None:
        self._turns = Turns(new_producer)
        self._new_consumer = new_consumer
        self._topic = topic
        self._audit_topic = audit_topic
        self._dead_letter_topic = dead_letter_topic
        self._worker_id = worker_id
        self._buried = buried
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._log = KnownLog(topic)

    def write(self, edit: Edit) -> FlagChange:
        """Make one change; return it as it stands in the log now.

        Raises:
            PreconditionFailedError: The flag is at another revision than the edit is based on.
            UnknownFlagError: There is no such flag, and the edit is not to make one.
            InvalidFlagError: Everything that is wrong with it.
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; the change may have been made all the same.
        """
        attempted: FlagChange | None = None

        def attempt(seen: list[FlagChange]) -> FlagChange:
            nonlocal attempted
            if attempted is None or attempted not in seen:
                attempted = propose(edit, self._log.fold, revision=self._log.next_revision, changed_at=_now())
                self._commit(attempted)
            return attempted

        return self._in_turn(edit.name, attempt)

    def restore(self, name: str) -> FlagChange | None:
        """Write a flag's last good state again if the newest record of it does not count, and bury what does not.

        Any number of processes may do this at the same time; one writes.

        Returns:
            What was written, or None if the newest record is good.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away.
        """

        def attempt(_seen: list[FlagChange]) -> FlagChange | None:
            if name not in self._log.fold.damaged:
                return None
            good = self._last_good(name, self._log.fold, self._log.next_revision)
            self._commit(good)
            return good

        return self._in_turn(name, attempt)

    def bury_strays(self) -> int:
        """Bury the records whose keys name no flag, and take them out of the changelog.

        Any number of processes may do this at the same time; one writes.

        Returns:
            How many keys were freed.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away.
        """

        def attempt(_seen: list[FlagChange]) -> int:
            strays = sorted(self._log.fold.strays)[:_STRAYS]
            if strays:
                self._remove(strays)
            return len(strays)

        return self._in_turn("strays", attempt)

    def get_ready(self) -> None:
        """Take the turn, so that the next change needs nothing but its transaction; others may take it any time.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away.
        """

        def attempt(seen: list[FlagChange]) -> None:
            if seen:  # by whoever had the turn after us
                self._turns.take_anew()

        self._in_turn("nothing", attempt)

    def read(self) -> Fold:
        """Return the changelog, folded to its end. Takes no turn.

        Raises:
            UnavailableError: The broker is away.
        """
        with self._lock:
            self._read_to_end()
            return self._log.fold

    def close(self, seconds: float = 5.0) -> None:
        """Let go of the broker; a change under way is given up. The turn stays free for whoever wants it.

        Args:
            seconds: How long a call to a broker that is away may still take; after that it is left to its thread.
        """
        self._turns.close()
        if not self._lock.acquire(timeout=seconds):
            _log.warning("flags_writer_left_open")
            return
        try:
            self._turns.let_go()
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None
        finally:
            self._lock.release()

    def _in_turn(self, name: str, attempt: Callable[[list[FlagChange]], T]) -> T:
        """Make an attempt at the log's end, in our turn.

        Args:
            name: What is attempted on, for logs.
            attempt: Given the changes that were seen since it was last made.
        """
        with self._lock:
            return self._turns.run(name, lambda: attempt(self._read_to_end()))

    def _read_to_end(self) -> list[FlagChange]:
        """Fold what was added since; return what was seen."""
        if self._consumer is None:
            self._consumer = self._new_consumer()
        reader = LogReader(self._consumer, self._topic)
        end = self._end_of(reader)
        if end < self._log.start - MARKER:  # our own last transaction may not have its marker yet
            self._log = KnownLog(self._topic)  # the topic was made anew
        log = self._log
        if log.audited is None:
            log.audited = self._newest_audited()
        if end <= log.end:
            return []
        seen = [change for record in reader.messages(log.start, end) if (change := log.add(record)) is not None]
        log.settle(end)
        return seen

    def _end_of(self, reader: LogReader) -> int:
        """Return where the log ends, with all in it that we wrote: a transaction's marker comes after its commit."""
        deadline = time.monotonic() + _MARKER_SECONDS
        while True:
            _, end = reader.bounds()
            if end >= self._log.owed or time.monotonic() > deadline:  # later than that, the topic was made anew
                return end
            time.sleep(_MARKER_POLL_SECONDS)

    def _newest_audited(self) -> int:
        """Return the newest revision of the audit: compaction and vandals may have left the changelog behind it."""
        reader = LogReader(self._audit_consumer, self._audit_topic)
        low, end = reader.bounds()
        window = _AUDIT_TAIL
        while low < end:
            start = max(low, end - window)
            newest = max((change.revision for change in _readable(reader, start, end)), default=0)
            if newest or start == low:
                return newest
            window *= 10
        return 0

    @property
    def _audit_consumer(self) -> Consumer:
        if self._consumer is None:
            self._consumer = self._new_consumer()
        return self._consumer

    def _last_good(self, name: str, fold: Fold, revision: int) -> FlagChange:
        good = fold.changes.get(name) or self._last_audited(name)
        why = "The newest record did not count; this is the last good state again."
        stamp = {"revision": revision, "changed_by": "intentstream", "reason": why, "changed_at": _now()}
        if good is None or fold.faults_of(good):
            return FlagChange(name=name, enabled=False, deleted=True, **stamp)  # type: ignore[arg-type]  # each its own
        return msgspec.structs.replace(good, **stamp)

    def _last_audited(self, name: str) -> FlagChange | None:
        reader = LogReader(self._audit_consumer, self._audit_topic)
        low, end = reader.bounds()
        last = None
        for change in _readable(reader, low, end):
            if change.name == name:
                last = change
        return last

    def _commit(self, change: FlagChange) -> None:
        """Write one change, and with it the dead letters of what it takes the place of.

        Raises:
            KafkaException: It is not written, or `_read_to_end` will show it.
        """
        producer = self._turns.begin()
        offsets: list[int | None] = []
        key, value = change.name.encode(), msgspec.json.encode(change)
        headers = event_headers(_EVENT_TYPE, str(uuid.uuid4()), change.changed_at, None)
        read_to = read_to_header(self._log.start)
        refused = self._log.refused_of(key)
        producer.produce(
            self._topic,
            value,
            key,
            0,
            headers=[*headers, read_to],
            on_delivery=lambda error, message: None if error is not None else offsets.append(message.offset()),
        )
        producer.produce(self._audit_topic, value, key, 0, headers=headers)  # type: ignore[arg-type]  # likewise
        self._end(producer, refused)
        for offset in offsets:
            if offset is not None:
                self._log.written(offset, key, value)

    def _remove(self, strays: Sequence[bytes]) -> None:
        """Take records away that are no flag's, and write their dead letters.

        Raises:
            KafkaException: They are still there, or `_read_to_end` will show that they are not.
        """
        producer = self._turns.begin()
        for key in strays:
            producer.produce(self._topic, None, key, 0, headers=[read_to_header(self._log.start)])
        self._end(producer, [record for key in strays for record in self._log.refused_of(key)])

    def _end(self, producer: Producer, refused: Sequence[RefusedRecord]) -> None:
        """Add dead letters to the transaction, and commit it."""
        for record in refused:
            key, value, headers = dead_letter(record, self._worker_id, _now())
            producer.produce(self._dead_letter_topic, value, key, headers=headers)  # type: ignore[arg-type]  # likewise
        self._turns.commit(producer)
        for record in refused:
            _log.warning("flag_record_buried", offset=record.refusal.offset, code=record.refusal.code)
            self._buried(record)


def _readable(reader: LogReader, start: int, end: int) -> list[FlagChange]:
    changes = []
    for _, key, value in reader.read(start, end):
        try:
            changes.append(read_change(flag_name(key), value))
        except InvalidRecordError:
            continue  # nothing of ours, and nobody follows the audit
    return changes


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
