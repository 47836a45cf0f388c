"""What the audit says of feedback that was taken back, and what its end says to a guard that begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from schemas.cloudevents import event_headers
from schemas.events import CE_TYPES, Withdrawal
from streams.batches import Outgoing
from streams.topics import CORRECTIONS_AUDIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flags.log_reader import LogReader
    from models.learning.forgetting import Retraction
    from schemas.events import ForgetRequest, Source

_WITHDRAWAL_TYPE = CE_TYPES[Withdrawal]
_READ_BACK = 2_000
"""Records of the audit; where none of them changed a lesson, twice as many are read."""


class _Entry(msgspec.Struct, frozen=True):
    """As much of a record of the audit as counts here."""

    revision: int = 0
    person_id: str = ""
    asked_at: str | None = None


_entries = msgspec.json.Decoder(_Entry)


class AuditEnd(NamedTuple):
    """What the end of the audit says.

    Attributes:
        revision: Of the last lesson that changed.
        forgotten: Until when people's feedback was taken back, RFC 3339 in UTC, by who they are.
    """

    revision: int
    forgotten: dict[str, str]


def read_audit_end(log: LogReader) -> AuditEnd:
    """Read the audit backwards until it tells a revision.

    A lesson that was forgotten is gone from its own log, and its revision with it; no other may have that one again.

    Raises:
        UnavailableError: The broker went away before that.
    """
    low, end = log.bounds()
    reach = _READ_BACK
    while True:
        revision = 0
        forgotten: dict[str, str] = {}
        start = max(low, end - reach)
        for record in log.read(start, end):
            try:
                entry = _entries.decode(record.value or b"{}")
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # nothing of ours, and nobody follows the audit
            revision = max(revision, entry.revision)
            if entry.asked_at is not None:
                forgotten[entry.person_id] = max(entry.asked_at, forgotten.get(entry.person_id, ""))
        if revision or start == low:
            return AuditEnd(revision, forgotten)
        reach *= 2


def encode_withdrawals(
    request: ForgetRequest,
    retractions: Sequence[Retraction],
    *,
    source: Source,
    revision: int,
    asked_at: str,
    now: str,
) -> list[Outgoing]:
    """Return the audit's records of a request: one of each lesson that changed, and one of the whole.

    Args:
        request: What was asked.
        retractions: What changed.
        source: Where the request stands.
        revision: Of the lessons afterwards.
        asked_at: Until when feedback was taken back, RFC 3339, UTC.
        now: RFC 3339, UTC.
    """
    whole = Withdrawal(
        person_id=request.person_id,
        code="done",
        reason=request.reason,
        lessons=len(retractions),
        revision=revision,
        source=source,
        asked_by=request.asked_by,
        asked_at=asked_at,
        withdrawn_at=now,
    )
    of_each = [
        msgspec.structs.replace(
            whole,
            code=each.code,
            reason=each.reason,
            lesson=each.key,
            intent=each.lesson.intent if each.lesson is not None else None,
            people=each.people,
            lessons=0,
            revision=each.lesson.revision if each.lesson is not None else revision,
        )
        for each in retractions
    ]
    return [_encode(each) for each in (*of_each, whole)]


def _encode(withdrawal: Withdrawal) -> Outgoing:
    subject = withdrawal.lesson or withdrawal.person_id
    headers = event_headers(
        _WITHDRAWAL_TYPE, f"{withdrawal.source}/{withdrawal.lesson or 'done'}", withdrawal.withdrawn_at, None
    )
    return Outgoing(CORRECTIONS_AUDIT, msgspec.json.encode(withdrawal), subject.encode(), 0, headers)
