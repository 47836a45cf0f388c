"""Reads what there is to know of a candidate: reports and feedback, from when its trial began. Keeps nothing."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Self

import msgspec
from confluent_kafka import Consumer, TopicPartition

from schemas.events import ShadowReport
from streams.clients import evidence_consumer_config
from streams.evidence import places_at
from streams.reader import Unfinished
from streams.topics import CORRECTIONS_AUDIT, FEEDBACK
from streams.trials.evidence import Evidence, Feedback

if TYPE_CHECKING:
    from types import TracebackType

    from confluent_kafka import Message

    from schemas.events import ModelRelease
    from schemas.settings import Settings

_FETCH = 500
_CLOCKS_SECONDS = 30.0
"""By how much clocks may differ; what is of another candidate does not count anyway."""

_reports = msgspec.json.Decoder(ShadowReport)
_feedback = msgspec.json.Decoder(Feedback)


class TrialReader:
    """Gathers the evidence of one candidate. Blocking; one thread at a time. Use as a context manager.

    Args:
        settings: Where the broker is.
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(evidence_consumer_config(settings))
        self._about: tuple[str, str, str] | None = None
        self._evidence = Evidence("", "")
        self._unfinished = Unfinished([])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def evidence(self, record: ModelRelease, began_at: str) -> Evidence | None:
        """Return what has been seen of a candidate; None until all that stands on the log was read once.

        Args:
            record: Its.
            began_at: When its trial began, RFC 3339.

        Raises:
            UnavailableError: The broker is away.
        """
        about = (record.name, record.release, began_at)
        if about != self._about:
            begin = dt.datetime.fromisoformat(began_at).timestamp() - _CLOCKS_SECONDS
            places = places_at(self._consumer, (CORRECTIONS_AUDIT, FEEDBACK), begin)
            starts = [TopicPartition(*place, offset) for place, offset in places.items()]
            self._unfinished, self._evidence = Unfinished(starts), Evidence(record.name, record.release)
            self._consumer.assign(starts)
            self._about = about
        while messages := self._consumer.consume(_FETCH, 0.05):
            for message in self._unfinished.records(messages):
                self._take(message)
        return None if self._unfinished else self._evidence

    def _take(self, message: Message) -> None:
        value = message.value() or b""
        try:
            if message.topic() == FEEDBACK:
                if b'"person_id"' in value:
                    self._evidence.see_feedback(_feedback.decode(value))
            elif b'"served_by"' in value:
                self._evidence.see_report(_reports.decode(value))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # another's: a request to forget, what the guard found
