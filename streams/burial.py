"""Makes the dead letter of a record that could not be processed: key, value and headers unchanged, and why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from schemas.deadletter import dead_letter_headers
from schemas.errors import InvalidEventError
from schemas.events import Source
from schemas.record_headers import headers_of
from streams.batches import ANY_PARTITION, Outgoing
from streams.clients import MAX_RECORD_BYTES
from streams.results import timestamp
from streams.topics import DEAD_LETTERS

if TYPE_CHECKING:
    from confluent_kafka import Message

    from schemas.cloudevents import Headers

MAX_KEY_BYTES = 65_536
"""A result repeats its utterance's key, and beside one as large as a record may be there is no room for the result."""

_MAX_BURIED_BYTES = MAX_RECORD_BYTES - 1024 * 1024
"""Of a dead letter's key, value and headers: a megabyte stays for ours."""


def bury(record: Message, fault: InvalidEventError, *, failed_by: str, worker_id: str) -> Outgoing:
    """Return a record's dead letter; what is too large for one stays where it is, and the dead letter says so.

    Args:
        record: As it was consumed.
        fault: Why it could not be processed.
        failed_by: The dotted name of what refused it.
        worker_id: Which worker that was.
    """
    source, key, value = source_of(record), record.key(), record.value()
    try:
        headers = headers_of(record)
    except InvalidEventError:  # what cannot be read cannot be copied; the source has it
        headers = None
    size = _size_of(key, value, headers)
    if size > _MAX_BURIED_BYTES:
        key = key if key is None or len(key) <= MAX_KEY_BYTES else None
        value = headers = None
        fault = InvalidEventError(
            "record_too_large",
            f"{fault} Its {size} bytes are more than a dead letter holds: they stay at {source}.",
        )
    reasons = dead_letter_headers(
        headers, source, fault, failed_by=failed_by, worker_id=worker_id, time_text=timestamp(time.time())
    )
    return Outgoing(DEAD_LETTERS, value, key, ANY_PARTITION, reasons)


def source_of(record: Message) -> Source:
    """Return where a consumed record stands."""
    return Source(topic=record.topic() or "", partition=record.partition() or 0, offset=record.offset() or 0)


def _size_of(key: bytes | None, value: bytes | None, headers: Headers | None) -> int:
    """Return how many bytes a record would have, but for its framing."""
    texts = [key, value, *(text for _, text in headers or ()), *(name.encode() for name, _ in headers or ())]
    return sum(len(text) for text in texts if text is not None)
