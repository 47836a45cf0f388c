"""What of a record on the log becomes a row: results and feedback, without their text unless it is asked for."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from models.learning.lessons import lesson_key
from models.text import normalise
from schemas.cloudevents import unseal
from schemas.errors import InvalidEventError
from schemas.events import Confirmation, Correction, Result
from streams.learning.feedback import decode_feedback, decode_forget_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.cloudevents import Headers, OpenText
    from schemas.events import ForgetRequest
    from streams.learning.feedback import Feedback

_NUL, _REPLACEMENT = "\x00", "\ufffd"
"""Postgres holds no NUL in a text; in JSON it does, where it is escaped."""

_results = msgspec.json.Decoder(Result)
_encoder = msgspec.json.Encoder()


Positions = dict[tuple[str, int], int]
"""The next offset of each topic and partition."""


class Table(NamedTuple):
    """Where rows go, and what they have."""

    name: str
    columns: tuple[str, ...]


RESULTS_TABLE = Table(
    "results",
    (
        "id",
        "day",
        "answered_at",
        "log_partition",
        "log_offset",
        "utterance_id",
        "user_id",
        "conversation_id",
        "intent",
        "confidence",
        "tier",
        "strategy",
        "release",
        "degraded",
        "event",
    ),
)
FEEDBACK_TABLE = Table(
    "feedback",
    (
        "id",
        "day",
        "said_at",
        "log_partition",
        "log_offset",
        "kind",
        "utterance_id",
        "result_id",
        "person_id",
        "intent",
        "lesson",
        "text",
    ),
)
TABLES = (RESULTS_TABLE, FEEDBACK_TABLE)


class Place(NamedTuple):
    """Where and since when a record stands on the log."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def time(self) -> dt.datetime:
        """Return when it was written, as the log says."""
        return dt.datetime.fromtimestamp(max(0, self.timestamp_ms) / 1000, dt.UTC)


class Row(NamedTuple):
    """One row, its values in the order of its table's columns."""

    table: Table
    values: tuple[Any, ...]

    @property
    def key(self) -> tuple[str, dt.date]:
        """Return what is unique in the table."""
        return self.values[0], self.values[1]

    @property
    def person_id(self) -> str | None:
        """Return who said it, if anybody did."""
        columns = self.table.columns
        return self.values[columns.index("person_id")] if "person_id" in columns else None

    @property
    def day(self) -> dt.date:
        """Return the partition that it belongs to."""
        day: dt.date = self.values[1]
        return day


class Batch(NamedTuple):
    """What was read at once, and how far that takes us.

    Attributes:
        rows: Those of a key in the order of the log.
        positions: The next offset of each topic and partition.
        forgotten: Until when nothing that they corrected is to be kept, by person.
        forgotten_results: Likewise, of what they were answered, and of their words.
    """

    rows: list[Row]
    positions: Positions
    forgotten: dict[str, dt.datetime]
    forgotten_results: dict[str, dt.datetime] = {}  # noqa: RUF012 - never changed


def result_row(value: bytes | None, place: Place) -> Row:
    """Return the row of a record of the results' topic.

    Raises:
        InvalidEventError: It is no result.
    """
    try:
        result = _results.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEventError("no_result", "The record is no result.") from error
    time = place.time
    return Row(
        RESULTS_TABLE,
        (
            _held(result.id),
            time.date(),
            time,
            place.partition,
            place.offset,
            _held(result.utterance_id),
            _held(result.user_id),
            _held(result.conversation_id),
            _held(result.intent),
            result.confidence,
            _held(result.tier),
            _held(result.strategy),
            _held(result.release),
            result.degraded,
            _encoder.encode(result).decode(),
        ),
    )


def feedback_row(
    value: bytes | None,
    headers: Headers | None,
    place: Place,
    *,
    keep_text: bool,
    open_text: OpenText | None = None,
) -> Row:
    """Return the row of a record of the feedback topic; its id is where it stands, for programs choose their own.

    A text that is sealed stays so, so that whoever is forgotten is in every copy of the table.

    Raises:
        InvalidEventError: It is no feedback.
    """
    feedback = decode_feedback(value, headers)
    time = place.time
    kept, said = _texts(feedback, open_text) if isinstance(feedback, Correction) else (None, None)
    return Row(
        FEEDBACK_TABLE,
        (
            f"{place.topic}/{place.partition}/{place.offset}",
            time.date(),
            time,
            place.partition,
            place.offset,
            _kind(feedback),
            _held(feedback.utterance_id),
            _held(feedback.result_id),
            _held(feedback.person_id) if isinstance(feedback, Correction | Confirmation) else None,
            _held(feedback.intent) if isinstance(feedback, Correction) else None,
            None if said is None else lesson_key(normalise(said)),
            _held(kept) if keep_text else None,
        ),
    )


def _texts(correction: Correction, open_text: OpenText | None) -> tuple[str | None, str | None]:
    """Return a correction's text as it may be kept, and as it was said; None: it cannot be told any more."""
    if correction.key_id is None:
        return correction.text, correction.text
    kept = f"sealed:{correction.key_id}:{correction.text}"
    try:
        unseal(correction, open_text)
    except InvalidEventError:
        return kept, None
    return kept, correction.text


def forget_request(value: bytes | None, headers: Headers | None) -> ForgetRequest | None:
    """Return what a record of the feedback topic wants forgotten; None: it wants nothing of the kind.

    Raises:
        InvalidEventError: It says so, and is no such request.
    """
    request = decode_forget_request(value, headers)
    return None if request is None else msgspec.structs.replace(request, person_id=_held(request.person_id))


def latest(rows: Iterable[Row]) -> list[Row]:
    """Return the last row of each key: one statement cannot write a row twice."""
    return list({(row.table.name, *row.key): row for row in rows}.values())


def _kind(feedback: Feedback) -> str:
    if isinstance(feedback, Correction):
        return "correction"
    return "confirmation" if isinstance(feedback, Confirmation) else "review_request"


def _held(text: str | None) -> Any:
    return text.replace(_NUL, _REPLACEMENT) if text is not None and _NUL in text else text
