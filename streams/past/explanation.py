"""Explains one decision as it was taken: under which flags, by which corrections, by whom, and why not by others.

Flags are evaluated again as of the result's own revision, for its own user. What a worker's environment says of flags
is written nowhere, and stands above what is told here. What was said is looked at for what flags ask of it, and is no
part of the explanation.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec
from confluent_kafka import Consumer

from flags.clients import reader_config
from flags.evaluation import Context, Snapshot, utterance_attributes
from flags.history import as_of, read_history
from flags.log_reader import LogReader
from schemas.cloudevents import UNSEALABLE, decode_utterance
from schemas.errors import InvalidEventError
from schemas.events import CorrectionVerdict, Result, Source, Utterance, Withdrawal
from schemas.record_headers import headers_of
from streams.burial import source_of
from streams.clients import client_config
from streams.decide import FLAGS as ASKED
from streams.past.search import PastReader, find_result
from streams.privacy.parts import opening, person_keys
from streams.topics import CORRECTIONS_AUDIT, FLAGS_AUDIT

if TYPE_CHECKING:
    from confluent_kafka import Message

    from schemas.settings import Settings
    from streams.past.search import Found

_verdicts = msgspec.json.Decoder(CorrectionVerdict)
_withdrawals = msgspec.json.Decoder(Withdrawal)

_MOST_CHARACTERS = 1_000_000
"""Whatever the limit was when it was answered."""


class FlagState(msgspec.Struct, frozen=True, kw_only=True):
    """What a flag was for the user.

    Attributes:
        name: Of the flag.
        value: What it was.
        variant: The value's name.
        reason: Why, in OpenFeature's words.
        revision: Of the flag's last change before the decision; 0: it was never changed.
        changed_by: Who made that.
        changed_because: Why.
    """

    name: str
    value: Any
    variant: str | None
    reason: str
    revision: int = 0
    changed_by: str | None = None
    changed_because: str | None = None


class LessonPast(msgspec.Struct, frozen=True, kw_only=True):
    """How the lesson that decided came about, and what became of it.

    Attributes:
        key: The lesson's, where the audit names it.
        verdict: Of the correction that made it what it was.
        recount: Else what others' votes made of it when a person's feedback was taken back.
        since: What became of it later, if a person's feedback was taken back.
    """

    key: str | None
    verdict: CorrectionVerdict | None = None
    recount: Withdrawal | None = None
    since: Withdrawal | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One decision.

    Attributes:
        result: As it was written: answer, tiers tried, release, arm, revisions.
        stands_at: Where.
        written_at: When, RFC 3339, UTC.
        utterance_there: Whether the utterance is still on its topic; if not, flags that ask more of it than its user
            and conversation are evaluated without.
        flags: Those that a decision asks, and those under comparison, as of the result's revision.
        flags_known: Whether the audit reaches back to that revision.
        lesson: Where people's corrections decided.
        text_forgotten: Whether what was said is sealed, and cannot be opened any more or here.
    """

    result: Result
    stands_at: Source
    written_at: str
    utterance_there: bool
    flags: tuple[FlagState, ...]
    flags_known: bool
    lesson: LessonPast | None = None
    text_forgotten: bool = False


def explain(settings: Settings, result_id: str, *, since: float) -> Explanation:
    """Look up everything that a decision was made of.

    Args:
        settings: Where the broker is.
        result_id: Which decision.
        since: Unix time; how far back to look where the id does not tell.

    Raises:
        UnknownResultError: There is no such result.
        UnavailableError: The broker is away.
    """
    with PastReader(settings) as reader:
        found = find_result(reader, result_id, since=since)
    utterance, text_forgotten = _utterance_of(settings, found)
    consumer = Consumer(reader_config(client_config(settings)))
    try:
        flags, known = _flags(LogReader(consumer, FLAGS_AUDIT), found.result, utterance)
        lesson = _lesson(LogReader(consumer, CORRECTIONS_AUDIT), found.result.lesson)
    finally:
        consumer.close()
    return Explanation(
        result=found.result,
        stands_at=source_of(found.record),
        written_at=_time_of(found.record),
        utterance_there=utterance is not None,
        flags=flags,
        flags_known=known,
        lesson=lesson,
        text_forgotten=text_forgotten,
    )


def _utterance_of(settings: Settings, found: Found) -> tuple[Utterance | None, bool]:
    """Return what a result answers, if it can be read, and whether it could be but for its seal."""
    record = found.utterance
    if record is None:
        return None, False
    with person_keys(settings) as keys:
        try:
            received = decode_utterance(
                record.value(),
                headers_of(record),
                source_of(record),
                max_text_characters=_MOST_CHARACTERS,
                open_text=opening(keys),
            )
        except InvalidEventError as fault:
            return None, fault.code in UNSEALABLE  # else another record stands there now: the topic was made anew
    return received.utterance, False


def _flags(log: LogReader, result: Result, utterance: Utterance | None) -> tuple[tuple[FlagState, ...], bool]:
    """Return what flags were for a result's user, and whether the history has its revision."""
    past = as_of(read_history(log), result.flags_revision)
    snapshot = Snapshot(revision=past.revision, changes=past.changes)
    attributes = {"conversation_id": result.conversation_id} if utterance is None else utterance_attributes(utterance)
    context = Context(user_id=result.user_id, attributes=attributes)
    return (
        tuple(_flag(snapshot, name, context) for name in dict.fromkeys((*ASKED, *snapshot.compared))),
        past.revision == result.flags_revision,
    )


def _flag(snapshot: Snapshot, name: str, context: Context) -> FlagState:
    answer, change = snapshot.evaluate(name, context), snapshot.changes.get(name)
    state = FlagState(name=name, value=answer.value, variant=answer.variant, reason=answer.reason.value)
    if change is None:
        return state
    return msgspec.structs.replace(
        state, revision=change.revision, changed_by=change.changed_by, changed_because=change.reason
    )


def _lesson(log: LogReader, revision: int | None) -> LessonPast | None:
    """Return what wrote a revision of the lessons, and what became of that one since."""
    if revision is None:
        return None
    past: LessonPast | None = None
    for record in log.read(*log.bounds()):
        entry = read_audit(record.value)
        if past is None:
            past = _origin(entry, revision)
        elif isinstance(entry, Withdrawal) and entry.lesson is not None and entry.lesson == past.key:
            past = msgspec.structs.replace(past, since=entry)
    return past


def _origin(entry: CorrectionVerdict | Withdrawal | None, revision: int) -> LessonPast | None:
    """Return what an entry of the audit says of a revision if it is the one that wrote it: the first that got as far.

    A correction that teaches an intent writes several at once, and names the lesson of its own text alone.
    """
    if entry is None or entry.revision < revision:
        return None
    if isinstance(entry, CorrectionVerdict):
        return LessonPast(key=entry.lesson if entry.code != "taught" else None, verdict=entry)
    return None if entry.lesson is None else LessonPast(key=entry.lesson, recount=entry)


def read_audit(value: bytes | None) -> CorrectionVerdict | Withdrawal | None:
    """Return an entry of the corrections' audit; None where it is none of ours."""
    try:
        return _verdicts.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # the other kind of event that stands there
    try:
        return _withdrawals.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # nothing of ours, and nobody follows the audit


def _time_of(record: Message) -> str:
    return dt.datetime.fromtimestamp(record.timestamp()[1] / 1000, dt.UTC).isoformat(timespec="milliseconds")
