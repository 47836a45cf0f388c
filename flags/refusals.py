"""Records of the changelog that do not count: kept as they came, until they are told of and buried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from flags.changelog import Fold, Refusal
from schemas.deadletter import dead_letter_headers
from schemas.errors import InvalidEventError
from schemas.events import Source
from schemas.record_headers import headers_of

if TYPE_CHECKING:
    from confluent_kafka import Message

    from schemas.cloudevents import Headers

_READ_TO = "read_to"
"""A header of the changelog's records: the first offset that the writer had not read."""

_MAX_BURIED_BYTES = 16 * 1024 * 1024
"""Of a dead letter's value: a record that was sent compressed may be larger than any that could be sent so."""


_MAX_OFFSET_DIGITS = 19


class RefusedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the changelog that does not count, as it stands there.

    Attributes:
        refusal: Where it stands and what is wrong with it.
        topic: The changelog.
        key: Byte for byte.
        value: Byte for byte.
        headers: In order; names may repeat.
        old: Whether it was there before this follower began, and so may have been reported by others.
    """

    refusal: Refusal
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    old: bool


class RecordFold:
    """A fold that is fed with records and hands back those that do not count.

    Attributes:
        fold: What the records amount to.
    """

    def __init__(self, topic: str) -> None:
        self.fold = Fold()
        self._topic = topic
        self._undecided: dict[int, Message] = {}

    def add(self, record: Message, *, old: bool = False) -> RefusedRecord | None:
        """Fold a record; return it if it can be seen by itself that it does not count."""
        offset = record.offset() or 0
        key, value = bytes_of(record.key()), bytes_of(record.value())
        unmended = self.fold.damaged or self.fold.strays
        refusal = self.fold.apply(key, value, offset, read_to=read_to(record) if unmended else None)
        if refusal is not None:
            return self._refused(refusal, record, old=old)
        self._undecided[offset] = record
        return None

    def advance(self) -> None:
        """Take over what makes sense so far."""
        self.fold.advance()
        self._forget()

    def settle(self, *, old: bool = False) -> list[RefusedRecord]:
        """Take over what makes sense at the log's end; return what does not beside the others, each once."""
        refused = [
            self._refused(refusal, self._undecided[refusal.offset], old=old)
            for refusal in self.fold.settle()
            if refusal.offset in self._undecided
        ]
        self._forget()
        return refused

    def _forget(self) -> None:
        self._undecided = {offset: self._undecided[offset] for offset in self.fold.pending_offsets}

    def _refused(self, refusal: Refusal, record: Message, *, old: bool) -> RefusedRecord:
        try:
            headers = tuple(headers_of(record) or ())
        except InvalidEventError:  # what cannot be read cannot be copied; the changelog has it
            headers = ()
        return RefusedRecord(
            refusal=refusal,
            topic=self._topic,
            key=bytes_of(record.key()),
            value=bytes_of(record.value()),
            headers=headers,
            old=old,
        )


def dead_letter(record: RefusedRecord, worker_id: str, time_text: str) -> tuple[bytes | None, bytes | None, Headers]:
    """Return the key, value and headers of a refused record's dead letter: unchanged, and why.

    Args:
        record: What does not count.
        worker_id: Who buries it.
        time_text: When, RFC 3339, UTC.
    """
    source = Source(topic=record.topic, partition=0, offset=record.refusal.offset)
    fault = InvalidEventError(record.refusal.code, "; ".join(record.refusal.faults))
    value = record.value
    if value is not None and len(value) > _MAX_BURIED_BYTES:
        fault = InvalidEventError("record_too_large", f"{fault} Its {len(value)} bytes stay at {source}.")
        value = None
    failed_by = f"{Fold.__module__}.{Fold.__qualname__}"
    headers = dead_letter_headers(
        record.headers, source, fault, failed_by=failed_by, worker_id=worker_id, time_text=time_text
    )
    return record.key, value, headers


def read_to_header(offset: int) -> tuple[str, bytes]:
    """Return the header that says how far the writer of a record had read: what stands at `offset` it has not seen.

    What came between that and the record itself was not buried by its writer, and is still to be.
    """
    return _READ_TO, b"%d" % offset


def read_to(record: Message) -> int:
    """Return the first offset that a record's writer had not read; its own, where it does not say."""
    offset = record.offset() or 0
    try:
        said = dict(headers_of(record) or ()).get(_READ_TO) or b""
    except InvalidEventError:
        return offset
    return int(said) if said.isdigit() and len(said) <= _MAX_OFFSET_DIGITS else offset


def bytes_of(value: str | bytes | None) -> bytes | None:
    """Return a key or value as the bytes that it was."""
    return value.encode() if isinstance(value, str) else value
