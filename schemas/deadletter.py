"""Dead letters: a record that could not be processed, unchanged, with Kafka Connect's headers saying why.

The original headers stay as they were, in order, repetitions included; ours follow as one block of fixed names. So
tools made for Kafka Connect's dead-letter queues read ours, and the original can be taken out again, exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.events import DeadLetter, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.cloudevents import Headers
    from schemas.errors import InvalidEventError

_CONNECTOR = b"intentstream"
HEADER_NAMES = (
    "__connect.errors.topic",
    "__connect.errors.partition",
    "__connect.errors.offset",
    "__connect.errors.connector.name",
    "__connect.errors.task.id",
    "__connect.errors.stage",
    "__connect.errors.class.name",
    "__connect.errors.exception.class.name",
    "__connect.errors.exception.message",
    "intentstream.errors.code",
    "intentstream.errors.time",
)
"""Ours, in order. The stack trace Kafka Connect also has would only repeat the code."""

REPLAY_HEADER = "intentstream.replay.of"
"""The last header of a replayed record: the partition and offset of the dead letter it was, `3/41`."""

_CONNECTOR_PLACE = HEADER_NAMES.index("__connect.errors.connector.name")
_STAGE = b"VALUE_CONVERTER"
"""Kafka Connect's word for reading a record's value and headers."""


def dead_letter_headers(
    headers: Sequence[tuple[str, bytes | None]] | None,
    source: Source,
    error: InvalidEventError,
    *,
    failed_by: str,
    worker_id: str,
    time_text: str,
) -> Headers:
    """Return the headers of a dead letter: the original's, then why it could not be processed.

    Args:
        headers: The original's headers.
        source: Where the original stands.
        error: Why it could not be processed.
        failed_by: The dotted name of what refused it.
        worker_id: Which worker refused it.
        time_text: When, RFC 3339, UTC.
    """
    fault = type(error)
    said = (
        source.topic.encode(),
        b"%d" % source.partition,
        b"%d" % source.offset,
        _CONNECTOR,
        worker_id.encode(),
        _STAGE,
        failed_by.encode(),
        f"{fault.__module__}.{fault.__qualname__}".encode(),
        str(error).encode(),
        error.code.encode(),
        time_text.encode(),
    )
    return [*(headers or ()), *zip(HEADER_NAMES, said, strict=True)]


def original_headers(headers: Sequence[tuple[str, bytes | None]] | None) -> Headers:
    """Return the headers without what we added, for a replay.

    A record that became a dead letter twice, because someone sent it again with our headers on it, loses both blocks.
    What another system's dead-letter queue wrote before us stays.
    """
    original = list(headers or ())
    while _ends_with_ours(original):
        del original[-len(HEADER_NAMES) :]
    return original


def replay_headers(letter: DeadLetter) -> Headers:
    """Return the headers of a replayed record: the original's, then which dead letter it was.

    Should it fail again, its new dead letter keeps that, and says so which one it stands for.
    """
    original = letter.headers if replay_of(letter) is None else letter.headers[:-1]
    return [*original, (REPLAY_HEADER, b"%d/%d" % (letter.position.partition, letter.position.offset))]


def replay_of(letter: DeadLetter) -> tuple[int, int] | None:
    """Return the partition and offset of the dead letter whose replay failed again as this one; None: of none."""
    name, value = letter.headers[-1] if letter.headers else ("", None)
    partition, _, offset = (value or b"").partition(b"/")
    if name != REPLAY_HEADER or not _is_count(partition) or not _is_count(offset):
        return None
    return int(partition), int(offset)


def parse_dead_letter(
    position: Source, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None
) -> DeadLetter:
    """Read a record of the dead-letter topic, also one that we did not write; of two reports, the last counts."""
    said = dict(headers or ())
    return DeadLetter(
        position=position,
        source=_source(said),
        code=_text(said.get("intentstream.errors.code")) or "unknown",
        reason=_text(said.get("__connect.errors.exception.message")) or "",
        failed_at=_text(said.get("intentstream.errors.time")),
        key=key,
        value=value,
        headers=tuple(original_headers(headers)),
    )


def _ends_with_ours(headers: Headers) -> bool:
    tail = headers[-len(HEADER_NAMES) :]
    return tuple(name for name, _ in tail) == HEADER_NAMES and tail[_CONNECTOR_PLACE][1] == _CONNECTOR


def _source(said: dict[str, bytes | None]) -> Source | None:
    """Return where the original stood, or None if the headers do not say so legibly."""
    topic, partition, offset = (said.get(name) for name in HEADER_NAMES[:3])
    if topic is None or not _is_count(partition) or not _is_count(offset):
        return None
    return Source(topic=_text(topic) or "", partition=int(partition or b""), offset=int(offset or b""))


def _is_count(value: bytes | None) -> bool:
    """Say whether this is a whole number that Kafka could have meant: 64 bits have at most 19 digits."""
    return value is not None and value.isdigit() and len(value) <= len(str(2**63 - 1))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
