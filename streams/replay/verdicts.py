"""What people said was right of the answers of a stretch: corrections that the guard believed, and nobody took back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.events import CorrectionVerdict
from streams.past.explanation import read_audit
from streams.results import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flags.log_reader import Record

_SKEW_SECONDS = 60.0
"""By how much the clocks of a broker and of a worker may differ."""


class Verdicts:
    """The right intents, by utterance; where people differ, the latest one counts.

    Args:
        audit: The corrections' audit, the oldest first.
        since: Unix time; what was said before is of none of the answers.
    """

    def __init__(self, audit: Iterable[Record], *, since: float) -> None:
        self._said: dict[str, dict[str, str | None]] = {}
        begin = timestamp(since - _SKEW_SECONDS)
        for record in audit:
            entry = read_audit(record.value)
            if entry is None:
                continue
            if not isinstance(entry, CorrectionVerdict):
                self._withdraw(entry.person_id)
            elif entry.verdict == "accepted" and entry.judged_at >= begin:
                said = self._said.setdefault(entry.utterance_id, {})
                said.pop(entry.person_id, None)  # what they say now is the latest
                said[entry.person_id] = entry.intent

    def __contains__(self, utterance_id: str) -> bool:
        return bool(self._said.get(utterance_id))

    def __getitem__(self, utterance_id: str) -> str | None:
        return list(self._said[utterance_id].values())[-1]

    def _withdraw(self, person_id: str) -> None:
        for said in self._said.values():
            said.pop(person_id, None)
