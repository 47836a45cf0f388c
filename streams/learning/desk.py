"""Where the guard works through the feedback: what it reads, what it decides and how far it is are one transaction.

Whoever begins fences whoever worked here before, and only then reads where that one got to and what it had learnt. So
each correction is judged once, by the lessons that all before it left. A desk that failed is closed for good, since
what it holds in memory may be ahead of the log: the next one reads the log again.

Blocking; one thread at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, Self

import msgspec
import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from flags.log_reader import LogReader
from models.learning.forgetting import forget
from models.learning.lessons import Lessons, lesson_key
from models.text import normalise
from schemas.cloudevents import event_headers, unseal
from schemas.errors import InvalidEventError, UnavailableError
from schemas.events import CE_TYPES, Correction, CorrectionVerdict, ForgetRequest, Lesson
from schemas.record_headers import headers_of
from streams.batches import Outgoing
from streams.burial import bury, source_of
from streams.learning.feedback import decode_feedback, decode_forget_request
from streams.learning.lesson_log import read_lesson
from streams.learning.withdrawals import encode_withdrawals, read_audit_end
from streams.privacy.parts import opening
from streams.results import timestamp
from streams.topics import CORRECTIONS, CORRECTIONS_AUDIT, FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from confluent_kafka import Consumer, Message

    from models.learning.verdicts import Judge, Judgement
    from schemas.cloudevents import OpenText
    from streams.learning.feedback import Feedback
    from streams.privacy.person_keys import PersonKeys
    from streams.transactions import Transactions

_log = structlog.get_logger(__name__)

_FETCH = 500
_ASK_SECONDS = 5.0
_SKIPPED_SECONDS = 5.0
"""How long it may take until offsets are committed where nothing was to be written: most feedback asks people."""
_PARTITIONS_SECONDS = 30.0
"""How often it is asked whether the feedback topic has grown."""

_LESSON_TYPE, _VERDICT_TYPE = CE_TYPES[Lesson], CE_TYPES[CorrectionVerdict]


class DeskObserver(Protocol):
    """Who counts. Called on the guard's thread; must not block."""

    def correction_judged(self, verdict: str, code: str) -> None:
        """Count a correction by what came of it."""

    def feedback_withdrawn(self, lessons: int) -> None:
        """Count a request to forget, and the lessons that are no longer what they were."""

    def dead_lettered(self, code: str) -> None:
        """Count a record that could not be processed."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself, or that trying again mends."""


class GuardDesk:
    """One turn at guarding. Use as a context manager.

    Args:
        transactions: Write the verdicts; nobody else's.
        new_consumer: Makes a consumer as `streams.clients.guard_consumer_config` configures it.
        new_reader: Makes a consumer as `flags.clients.reader_config` configures it.
        new_judge: Makes the judge over some lessons.
        labels: Returns the intents of the catalogue that serves.
        candidates: Returns what the classifier thinks of normalised texts, without any correction; blocking.
        worker_id: Who we are.
        observer: Who counts.
        keys: Open and seal texts; None: what is sealed is refused, and lessons are plain.
    """

    def __init__(
        self,
        transactions: Transactions,
        *,
        new_consumer: Callable[[], Consumer],
        new_reader: Callable[[], Consumer],
        new_judge: Callable[[Lessons], Judge],
        labels: Callable[[], Collection[str]],
        candidates: Callable[[Sequence[str]], Sequence[Collection[str | None]]],
        worker_id: str,
        observer: DeskObserver,
        keys: PersonKeys | None = None,
    ) -> None:
        self._keys = keys
        self._transactions = transactions
        self._new_reader = new_reader
        self._new_judge = new_judge
        self._labels = labels
        self._candidates = candidates
        self._worker_id = worker_id
        self._observer = observer
        self._consumer = new_consumer()
        self._lessons = Lessons()
        self._judge: Judge | None = None
        self._next: dict[int, int] = {}
        self._committed_at = self._asked_at = time.monotonic()
        self._partitions = 0

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self._consumer.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def open(self) -> None:
        """Fence whoever worked here before, then read what they left.

        Raises:
            UnavailableError: The broker is away.
        """
        self._transactions.open()
        self._lessons = lessons = self._read_lessons()
        self._judge = self._new_judge(lessons)
        self._recall(self._judge)
        try:
            self._partitions = self._count_partitions()
            places = self._places()
            self._consumer.assign(places)
        except KafkaException as failure:
            raise UnavailableError(f"The broker does not tell of the feedback: {failure.args[0].str()}.") from failure
        # The first transaction of a producer takes a second and more; better now than when somebody waits for it.
        self._next = {place.partition: max(0, place.offset) for place in places}
        self._commit([])
        _log.info("guard_began", lessons=len(lessons), revision=lessons.revision)

    def work(self, seconds: float) -> int:
        """Judge what has arrived, at once if something has, else after `seconds` at most; return how many records.

        Raises:
            UnavailableError: What was decided could not be written; the desk is of no use any more.
        """
        records = self._fetch(seconds)
        for record in records:
            self._next[record.partition() or 0] = (record.offset() or 0) + 1
        outgoing = self._decide(records) if records else []
        idle = time.monotonic() - self._committed_at > _SKIPPED_SECONDS
        if outgoing or (self._next and idle):
            self._commit(outgoing)
        return len(records)

    @property
    def is_outgrown(self) -> bool:
        """Whether the feedback topic has more partitions than when the desk was opened; asked now and then."""
        if time.monotonic() - self._asked_at < _PARTITIONS_SECONDS:
            return False
        self._asked_at = time.monotonic()
        return self._count_partitions() != self._partitions

    def _read_lessons(self) -> Lessons:
        reader = self._new_reader()
        try:
            log, open_text = LogReader(reader, CORRECTIONS), opening(self._keys)
            lessons = Lessons()
            for record in log.messages(*log.bounds()):
                try:
                    lessons.apply(*read_lesson(record.key(), record.value(), open_text))
                except InvalidEventError as fault:
                    _log.warning("lesson_refused", offset=record.offset(), code=fault.code)
            return lessons
        finally:
            reader.close()

    def _recall(self, judge: Judge) -> None:
        """Take from the audit what the lessons do not tell: revisions of forgotten ones, and who was forgotten."""
        reader = self._new_reader()
        try:
            end = read_audit_end(LogReader(reader, CORRECTIONS_AUDIT))
        finally:
            reader.close()
        self._lessons.revision = max(self._lessons.revision, end.revision)
        for person_id, at in end.forgotten.items():
            judge.forget(person_id, at)

    def _places(self) -> list[TopicPartition]:
        """Return where to go on in each partition."""
        asked = [TopicPartition(FEEDBACK, partition) for partition in range(self._partitions)]
        places = self._consumer.committed(asked, timeout=_ASK_SECONDS)
        for place in places:
            if place.error is not None:
                raise KafkaException(place.error)
            place.offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
        return places

    def _count_partitions(self) -> int:
        return len(self._consumer.list_topics(FEEDBACK, _ASK_SECONDS).topics[FEEDBACK].partitions)

    def _fetch(self, seconds: float) -> list[Message]:
        first = self._consumer.poll(seconds)
        messages = [] if first is None else [first, *self._consumer.consume(_FETCH, 0)]
        for message in messages:
            error = message.error()
            if error is not None:
                self._observer.broker_error(error.name())
        return [message for message in messages if message.error() is None]

    def _decide(self, records: Sequence[Message]) -> list[Outgoing]:
        """Return what is to be written about these records."""
        outgoing: list[Outgoing] = []
        corrections: list[tuple[Message, Correction]] = []
        requests: list[tuple[Message, ForgetRequest]] = []
        open_text = opening(self._keys)
        for record in records:
            try:
                said = _read(record, open_text)
            except InvalidEventError as fault:
                self._observer.dead_lettered(fault.code)
                outgoing.append(bury(record, fault, failed_by=f"{__name__}.GuardDesk", worker_id=self._worker_id))
            else:
                if isinstance(said, Correction):
                    corrections.append((record, said))
                elif isinstance(said, ForgetRequest):
                    requests.append((record, said))
        outgoing += self._judge_all(corrections)
        # Afterwards, so that what came with them is taken back, too; what comes later of before is refused.
        for record, request in requests:
            outgoing += self._forget(record, request)
        return outgoing

    def _judge_all(self, corrections: Sequence[tuple[Message, Correction]]) -> list[Outgoing]:
        outgoing: list[Outgoing] = []
        if not corrections:
            return outgoing
        candidates = self._candidates([normalise(correction.text or "") for _, correction in corrections])
        for (record, correction), thought_of in zip(corrections, candidates, strict=True):
            outgoing += self._judge_one(record, correction, thought_of)
        return outgoing

    def _judge_one(self, record: Message, correction: Correction, candidates: Collection[str | None]) -> list[Outgoing]:
        if self._judge is None:
            raise UnavailableError("The guard's desk is not open.")
        judgement = self._judge.judge(correction, candidates, at=_came_at(record))
        self._observer.correction_judged(judgement.verdict, judgement.code)
        now = timestamp(time.time())
        changed = [(lesson_key(lesson.text), lesson) for lesson in judgement.changed]
        forgotten = [(key, None) for key in judgement.forgotten]
        return [
            *self._encode_lessons([*changed, *forgotten], now),
            _encode_verdict(record, correction, judgement, now),
        ]

    def _forget(self, record: Message, request: ForgetRequest) -> list[Outgoing]:
        if self._judge is None:
            raise UnavailableError("The guard's desk is not open.")
        at = _came_at(record)
        self._judge.forget(request.person_id, at)
        retractions = forget(
            request.person_id,
            at,
            self._lessons,
            new_judge=self._new_judge,
            labels=self._labels(),
            candidates=self._candidates_of_many,
            texts=request.texts,
        )
        self._observer.feedback_withdrawn(len(retractions))
        now = timestamp(time.time())
        return [
            *self._encode_lessons([(each.key, each.lesson) for each in retractions], now),
            *encode_withdrawals(
                request, retractions, source=source_of(record), revision=self._lessons.revision, asked_at=at, now=now
            ),
        ]

    def _encode_lessons(self, lessons: Sequence[tuple[str, Lesson | None]], now: str) -> list[Outgoing]:
        """Return the records of lessons, each sealed with the key of who said its text first."""
        if self._keys is None:
            return [_encode_lesson(key, lesson, now) for key, lesson in lessons]
        left = [lesson for _, lesson in lessons if lesson is not None]
        texts = iter(self._keys.seal_all([(_who_said(lesson), lesson.text) for lesson in left]))
        outgoing = []
        for key, lesson in lessons:
            if lesson is not None:
                sealed = next(texts)
                lesson = msgspec.structs.replace(lesson, text=sealed.text, key_id=sealed.key_id)  # noqa: PLW2901 - the same, as it is written
            outgoing.append(_encode_lesson(key, lesson, now))
        return outgoing

    def _candidates_of_many(self, texts: Sequence[str]) -> list[Collection[str | None]]:
        """Ask about texts by portions, each of which is answered in the time there is for one."""
        portions = (texts[start : start + _FETCH] for start in range(0, len(texts), _FETCH))
        return [thought_of for portion in portions for thought_of in self._candidates(portion)]

    def _commit(self, outgoing: Sequence[Outgoing]) -> None:
        offsets = [TopicPartition(FEEDBACK, partition, offset) for partition, offset in self._next.items()]
        if not self._transactions.commit(outgoing, offsets, self._consumer.consumer_group_metadata()):
            raise UnavailableError("What the guard decided could not be written.")
        self._next.clear()
        self._committed_at = time.monotonic()


def _read(record: Message, open_text: OpenText | None) -> Feedback | ForgetRequest:
    """Return what a record says.

    Raises:
        InvalidEventError: It says nothing that belongs here, or what it says of cannot be read any more.
    """
    headers = headers_of(record)
    request = decode_forget_request(record.value(), headers)
    if request is not None:
        return request
    feedback = decode_feedback(record.value(), headers)
    if isinstance(feedback, Correction):
        unseal(feedback, open_text)
    return feedback


def _came_at(record: Message) -> str:
    """Return when a record came; what claims to be of the future would outlive its forgetting."""
    return timestamp(min(record.timestamp()[1] / 1000, time.time()))


def _who_said(lesson: Lesson) -> str:
    """Return whose words a lesson's text is, as far as that is known: who corrects may be who said it."""
    first = lesson.votes[0]
    return first.user_id or first.person_id


def _encode_lesson(key: str, lesson: Lesson | None, now: str) -> Outgoing:
    if lesson is None:
        return Outgoing(CORRECTIONS, None, key.encode(), 0)
    headers = event_headers(_LESSON_TYPE, f"{key}/{lesson.revision}", now, None)
    return Outgoing(CORRECTIONS, msgspec.json.encode(lesson), key.encode(), 0, headers)


def _encode_verdict(record: Message, correction: Correction, judgement: Judgement, now: str) -> Outgoing:
    source = source_of(record)
    verdict = CorrectionVerdict(
        verdict=judgement.verdict,
        code=judgement.code,
        reason=judgement.reason,
        utterance_id=correction.utterance_id,
        intent=correction.intent,
        person_id=correction.person_id,
        people=judgement.people,
        lesson=lesson_key(judgement.changed[0].text) if judgement.changed else None,
        revision=judgement.revision,
        source=source,
        judged_at=now,
    )
    headers = event_headers(_VERDICT_TYPE, str(source), now, None)
    return Outgoing(CORRECTIONS_AUDIT, msgspec.json.encode(verdict), correction.utterance_id.encode(), 0, headers)
