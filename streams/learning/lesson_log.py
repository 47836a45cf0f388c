"""Reads records of the lessons' log, and follows it for ever: what this worker remembers of people's corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from flags.log_reader import LogReader
from flags.log_tail import LogTail, TailObserver
from models.learning.lessons import Lessons, lesson_key
from schemas.cloudevents import unseal
from schemas.errors import InvalidEventError
from schemas.events import Lesson
from streams.privacy.parts import opening
from streams.topics import CORRECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

    from schemas.cloudevents import OpenText
    from streams.privacy.person_keys import PersonKeys

_log = structlog.get_logger(__name__)
_decoder = msgspec.json.Decoder(Lesson)

_STOP_SECONDS = 2.0


def read_lesson(
    key: bytes | str | None, value: bytes | str | None, open_text: OpenText | None = None
) -> tuple[str, Lesson | None]:
    """Return a record's key and lesson; None: the text was forgotten, or who said it.

    Raises:
        InvalidEventError: It is neither, or cannot be opened.
    """
    try:
        name = key.decode() if isinstance(key, bytes) else key or ""
        lesson = None if value is None else _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Not chained: what could not be read may be in the error.
        raise InvalidEventError("invalid_lesson", "The record is no lesson.") from None
    if lesson is not None:
        try:
            unseal(lesson, open_text)
        except InvalidEventError as fault:
            if fault.code != "key_destroyed":
                raise
            return name, None
    if lesson is not None and name != lesson_key(lesson.text):
        raise InvalidEventError("wrong_key", "The record's key is not that of its text.")
    return name, lesson


class ReadLessons:
    """The lessons as far as they were read. Of one thread.

    Args:
        reader: A consumer as `flags.clients.reader_config` configures it.
        keys: Open what is sealed; None: all is plain.

    Attributes:
        lessons: What was read so far.
    """

    def __init__(self, reader: Consumer, keys: PersonKeys | None) -> None:
        self.lessons = Lessons()
        self._log = LogReader(reader, CORRECTIONS)
        self._keys = keys
        self._place = 0

    def follow(self) -> None:
        """Read what is new.

        Raises:
            UnavailableError: The broker is away.
        """
        low, end = self._log.bounds()
        open_text = opening(self._keys)
        for record in self._log.messages(max(low, self._place), end):
            try:
                self.lessons.apply(*read_lesson(record.key(), record.value(), open_text))
            except InvalidEventError as fault:
                _log.warning("lesson_refused", offset=record.offset(), code=fault.code)
        self._place = max(self._place, end)


class Learner(Protocol):
    """Who is told what there is to know. Called on the follower's thread."""

    def learn(self, lessons: Lessons) -> None:
        """Answer by these from now on; they are read only until this returns."""

    def refresh(self) -> None:
        """Do what is due between two readings."""


class LessonsObserver(TailObserver, Protocol):
    """Who counts. Called on the follower's thread; must not block."""

    def lessons_applied(self, revision: int, texts: int) -> None:
        """Show the revision that decides from now on, and how many texts are known."""

    def lesson_refused(self) -> None:
        """Count a record that is no lesson."""


class LessonFollower:
    """Follows the lessons, group-less, and has a learner know them. While the log is read again, the old ones stand.

    Args:
        new_consumer: Makes a consumer as `flags.clients.follower_config` configures it.
        admin: Tells where the log ends.
        topic: The lessons' log.
        learner: Is told of every change.
        announce: Called after a change; must not block.
        observer: Who counts.
        keys: Open what is sealed.
    """

    def __init__(
        self,
        *,
        new_consumer: Callable[[], Consumer],
        admin: AdminClient,
        topic: str,
        learner: Learner,
        announce: Callable[[], None],
        observer: LessonsObserver,
        keys: PersonKeys | None = None,
    ) -> None:
        self._learner = learner
        self._announce = announce
        self._observer = observer
        self._keys = keys
        self._lessons = Lessons()
        self._caught_up = False
        self._tail = LogTail(
            "lessons-follower", new_consumer=new_consumer, admin=admin, topic=topic, listener=self, observer=observer
        )

    def start(self) -> None:
        """Begin to follow, on a thread that keeps no process from ending."""
        self._tail.start()

    def stop(self) -> None:
        """Stop following; what was learnt goes on deciding."""
        self._tail.stop(_STOP_SECONDS)

    # On the tail's thread.

    def began(self) -> None:
        """Expect every lesson again."""
        self._lessons, self._caught_up = Lessons(), False

    def came(self, records: Sequence[Message], *, at_end: bool) -> None:
        """Take what is new, and pass it on once it is all there is."""
        open_text = opening(self._keys)
        for record in records:
            try:
                self._lessons.apply(*read_lesson(record.key(), record.value(), open_text))
            except InvalidEventError as fault:
                self._observer.lesson_refused()
                _log.warning("lesson_refused", offset=record.offset(), code=fault.code)
        first = at_end and not self._caught_up
        self._caught_up = self._caught_up or at_end
        if first or (self._caught_up and records):
            self._learner.learn(self._lessons)
            self._announce()
            self._observer.lessons_applied(self._lessons.revision, len(self._lessons))

    def idled(self) -> None:
        """Let the learner do what it could not do before."""
        self._learner.refresh()
