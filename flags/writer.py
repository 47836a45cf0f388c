"""Writes flag changes, one writer at a time without a lock: who takes the turn fences who had it.

All writers share one transactional id. Taking a turn makes the broker refuse whatever the writer before still sends;
then the log is read to its end, so that a change is compared with all that was ever accepted, and written to the
changelog and the audit in one transaction. A change that lost is in neither. See docs/adr/0004.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
import uuid
from typing import TYPE_CHECKING

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException

from flags.changelog import Fold, InvalidRecordError, flag_name, read_change
from flags.edits import propose
from flags.errors import ConflictError
from flags.log_reader import LogReader
from schemas.cloudevents import event_headers
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, FlagChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Consumer, Producer

    from flags.edits import Edit

_log = structlog.get_logger(__name__)

_CALL_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 0.03
_LONGEST_WAIT_SECONDS = 1.0
_AUDIT_TAIL = 200
_MARKER = 1  # the record that ends a transaction takes an offset, too

_EVENT_TYPE = CE_TYPES[FlagChange]

_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own errors are named so
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)

_REFUSALS = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - likewise
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


class Writer:
    """Writes changes of flags. Any thread may call it; calls wait for each other.

    It keeps its turn between changes, and so needs no broker call but the transaction's while nobody else writes.

    Args:
        new_producer: Makes a producer as `flags.clients.writer_config` configures it.
        new_consumer: Makes a consumer as `flags.clients.reader_config` configures it.
        topic: The changelog's.
        audit_topic: Of every change there ever was.
    """

    def __init__(
        self,
        *,
        new_producer: Callable[[], Producer],
        new_consumer: Callable[[], Consumer],
        topic: str,
        audit_topic: str,
    ) -> None:
        self._new_producer = new_producer
        self._new_consumer = new_consumer
        self._topic = topic
        self._audit_topic = audit_topic
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None
        self._log = _Log()

    def write(self, edit: Edit) -> FlagChange:
        """Make one change; return it as it stands in the log now.

        Raises:
            PreconditionFailedError: The flag is at another revision than the edit is based on.
            UnknownFlagError: There is no such flag, and the edit is not to make one.
            InvalidFlagError: Everything that is wrong with it.
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; the change may have been made all the same.
        """

        def change(fold: Fold, revision: int) -> FlagChange:
            return propose(edit, fold, revision=revision, changed_at=_now())

        written = self._in_turn(edit.name, change)
        if written is None:
            raise ConflictError(f"Nothing was written of {edit.name}.")
        return written

    def restore(self, name: str) -> FlagChange | None:
        """Write a flag's last good state again if the newest record of it does not count.

        Any number of processes may do this at the same time; one writes.

        Returns:
            What was written, or None if the newest record is good.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away.
        """

        def change(fold: Fold, revision: int) -> FlagChange | None:
            return self._last_good(name, fold, revision) if name in fold.damaged else None

        return self._in_turn(name, change)

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
        self._closing.set()
        if not self._lock.acquire(timeout=seconds):
            _log.warning("flags_writer_left_open")
            return
        try:
            self._producer = None
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None
        finally:
            self._lock.release()

    def _in_turn(self, name: str, propose_change: Callable[[Fold, int], FlagChange | None]) -> FlagChange | None:
        """Propose a change of what the log says at its end, and write it; again for as long as others come between.

        Whether a commit that failed was made all the same is seen in the log, once the turn is ours again.
        """
        attempted: FlagChange | None = None
        turns = _Turns(name, self._closing)
        with self._lock:
            while True:
                try:
                    self._take_turn()
                    seen = self._read_to_end()
                    if attempted is not None and attempted in seen:
                        return attempted
                    attempted = propose_change(self._log.fold, self._log.next_revision)
                    if attempted is not None:
                        self._commit(attempted)
                except KafkaException as failure:
                    self._producer = None
                    turns.wait_for_next(failure)
                else:
                    return attempted

    def _take_turn(self) -> None:
        if self._producer is not None:
            return
        producer = self._new_producer()
        _until_done(lambda: producer.init_transactions(_CALL_SECONDS))
        self._producer = producer

    def _read_to_end(self) -> list[FlagChange]:
        """Fold what was added since; return what was seen."""
        if self._consumer is None:
            self._consumer = self._new_consumer()
        reader = LogReader(self._consumer, self._topic)
        _, end = reader.bounds()
        if end < self._log.start - _MARKER:  # our own last transaction may not have its marker yet
            self._log = _Log()  # the topic was made anew
        log = self._log
        if log.audited is None:
            log.audited = self._newest_audited()
        if end <= log.end:
            return []
        seen = [change for record in reader.read(log.start, end) if (change := log.add(*record)) is not None]
        log.start = log.end = max(log.start, end)
        log.fold.settle()
        return seen

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
        """Write one change.

        Raises:
            KafkaException: It is not written, or `_read_to_end` will show it.
        """
        producer = self._producer
        if producer is None:
            raise KafkaException(KafkaError(KafkaError._FENCED))  # noqa: SLF001 - librdkafka's own error is named so
        offsets: list[int | None] = []
        key, value = change.name.encode(), msgspec.json.encode(change)
        headers = event_headers(_EVENT_TYPE, str(uuid.uuid4()), change.changed_at, None)
        producer.begin_transaction()
        producer.produce(
            self._topic,
            value,
            key,
            0,
            headers=headers,  # type: ignore[arg-type]  # a list of pairs, as it wants
            on_delivery=lambda error, message: None if error is not None else offsets.append(message.offset()),
        )
        producer.produce(self._audit_topic, value, key, 0, headers=headers)  # type: ignore[arg-type]  # likewise
        _until_done(lambda: producer.commit_transaction(_CALL_SECONDS))
        for offset in offsets:
            if offset is not None:
                self._log.written(offset, key, value)


class _Log:
    """What a writer knows of the changelog.

    Attributes:
        start: The first offset not folded.
        end: Where the log ended, markers of transactions included.
        audited: The audit's newest revision when we began to read; None: not read yet.
    """

    def __init__(self) -> None:
        self.fold = Fold()
        self.start = 0
        self.end = 0
        self.audited: int | None = None

    @property
    def next_revision(self) -> int:
        return 1 + max(self.fold.revision, self.audited or 0)

    def add(self, offset: int, key: bytes | None, value: bytes | None) -> FlagChange | None:
        """Fold a record; return its change if it is one."""
        self.start = self.end = offset + 1
        if self.fold.apply(key, value, offset) is not None:
            return None
        return read_change(flag_name(key), value)

    def written(self, offset: int, key: bytes, value: bytes) -> None:
        """Fold our own record, so that it need not be read; if somebody wrote before it, all that will be."""
        if offset <= self.end:
            self.fold.apply(key, value, offset)
            self.fold.settle()
            self.start, self.end = offset + 1, offset + 1 + _MARKER


def _readable(reader: LogReader, start: int, end: int) -> list[FlagChange]:
    changes = []
    for _, key, value in reader.read(start, end):
        try:
            changes.append(read_change(flag_name(key), value))
        except InvalidRecordError:
            continue  # nothing of ours, and nobody follows the audit
    return changes


def _until_done(call: Callable[[], None]) -> None:
    """Make a call again for as long as the broker says that this may help, and not for ever.

    Raises:
        KafkaException: Another has the turn, the broker refused, or was away for too long.
    """
    deadline = time.monotonic() + _CALL_SECONDS
    while True:
        try:
            return call()
        except KafkaException as failure:
            if not failure.args[0].retriable() or time.monotonic() > deadline:
                raise


class _Turns:
    """How often, and for how long, one change tries to get a turn."""

    def __init__(self, name: str, closing: threading.Event) -> None:
        self._name = name
        self._closing = closing
        self._lost = 0
        self._deadline = time.monotonic() + _PATIENCE_SECONDS

    def wait_for_next(self, failure: KafkaException) -> None:
        """Let the others finish; longer and longer, and never as long as others that wait.

        Raises:
            ConflictError: It took too long, and others had the turn.
            UnavailableError: It took too long, or never will succeed, because of the broker.
        """
        error = failure.args[0]
        self._lost += 1
        _log.info("flags_turn_lost", flag=self._name, times=self._lost, code=error.name())
        if error.code() in _REFUSALS or time.monotonic() > self._deadline:
            if error.code() in _FENCED:
                raise ConflictError(f"Other writers came before the change of {self._name} again and again; try again.")
            raise UnavailableError(
                f"The broker did not take the change of {self._name}: {error.str()}. It may have been made."
            ) from failure
        longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**self._lost)
        if self._closing.wait(random.uniform(0, longest)):  # noqa: S311 - no secret
            raise UnavailableError(f"Stopped before {self._name} could be changed.")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
