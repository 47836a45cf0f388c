"""Answers a batch: decodes each record, has the texts classified, encodes the results.

No exception leaves it but one: that people's keys cannot be read just now. A record that is no utterance becomes a
dead letter; if answering the batch as a whole fails for a reason nobody foresaw, its records are answered one by one,
and the one at fault becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from health.logs import describe_fault
from schemas.cloudevents import Received, decode_utterance
from schemas.errors import InvalidEventError
from schemas.record_headers import headers_of
from streams.burial import MAX_KEY_BYTES, bury, source_of
from streams.privacy.parts import KeysAwayError, opening
from streams.results import encode_result, result_of, timestamp, timings_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from confluent_kafka import Message

    from schemas.events import Result, Source
    from schemas.settings import Intake
    from streams.batches import Batch, Outgoing
    from streams.brown_out import BrownOut
    from streams.privacy.person_keys import PersonKeys
    from streams.results import Decision
    from streams.reviews import Reviews
    from streams.spans import Tracing

_log = structlog.get_logger(__name__)


class Decider(Protocol):
    """What turns utterances into answers: the flags, the router, the cache and the chain."""

    async def decide(self, utterances: Sequence[Received]) -> Sequence[Decision]:
        """Return one decision for each utterance, in their order."""


class ClassifyObserver(Protocol):
    """Who counts what was answered. Called from any thread, once a batch; must not block."""

    def answered(self, results: Sequence[Result]) -> None:
        """Count a batch's results."""

    def dead_lettered(self, code: str) -> None:
        """Count a record that could not be processed."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class Request(NamedTuple):
    """One record of a batch, decoded."""

    record: Message
    source: Source
    received: Received


class Classify:
    """The agent's work on one batch.

    Args:
        decider: What turns texts into answers.
        settings: Limits.
        reviews: Whom people are asked about.
        worker_id: Who we are, for dead letters.
        codec: A thread for decoding and encoding, which would hold up the event loop.
        observer: Who counts.
        brown_out: Is told how long utterances wait.
        tracing: Makes spans, if anybody does.
        keys: Open what is sealed, if anybody does.
    """

    def __init__(
        self,
        *,
        decider: Decider,
        settings: Intake,
        reviews: Reviews,
        worker_id: str,
        codec: Executor,
        observer: ClassifyObserver,
        brown_out: BrownOut | None = None,
        tracing: Tracing | None = None,
        keys: PersonKeys | None = None,
    ) -> None:
        self._decider = decider
        self._settings = settings
        self._reviews = reviews
        self._worker_id = worker_id
        self._codec = codec
        self._observer = observer
        self._brown_out = brown_out
        self._tracing = tracing
        self._keys = keys

    async def __call__(self, batch: Batch) -> list[Outgoing]:
        """Return what is to be written for a batch: a result or a dead letter for each of its records.

        Raises:
            KeysAwayError: A text is sealed, and it cannot be told whether its key is destroyed or was never made.
        """
        try:
            return await self._answer(batch.records, batch)
        except KeysAwayError:
            raise
        except Exception as error:  # noqa: BLE001 - the agent's guard: what nobody foresaw is looked for record by record
            self._observer.unexpected("classify_batch")
            _log.error("classify_batch_failed", records=len(batch.records), **describe_fault(error))
        outgoing = []
        for record in batch.records:
            try:
                outgoing += await self._answer([record], batch)
            except Exception as error:  # noqa: BLE001 - the record's guard: one must not hold up its partition
                source = source_of(record)
                self._observer.unexpected("classify_record")
                _log.error("classify_record_failed", source=str(source), **describe_fault(error))
                fault = InvalidEventError("internal_error", f"Answering it failed: {type(error).__name__}.")
                outgoing.append(self._bury(record, fault))
        return outgoing

    async def _answer(self, records: Sequence[Message], batch: Batch) -> list[Outgoing]:
        loop = asyncio.get_running_loop()
        requests, outgoing = await loop.run_in_executor(self._codec, self._decode, records)
        if not requests:
            return outgoing
        begun = time.time()
        if self._brown_out is not None:
            self._brown_out.waited(max(_waited(request.record, begun) for request in requests))
        utterances = [request.received for request in requests]
        spans = None if self._tracing is None else self._tracing.begin(utterances)
        if spans is None:
            decisions = await self._decider.decide(utterances)
        else:
            requests = [
                request._replace(received=each) for request, each in zip(requests, spans.utterances, strict=True)
            ]
            with spans.current():
                decisions = await self._decider.decide(spans.utterances)
        results, encoded = await loop.run_in_executor(self._codec, self._encode, requests, decisions, begun)
        self._observer.answered(results)
        batch.answered.extend(_by_tier(requests, results))
        if spans is not None:
            spans.answered(results)
            batch.spans.append(spans)
        return outgoing + encoded

    # On the codec's thread.

    def _decode(self, records: Sequence[Message]) -> tuple[list[Request], list[Outgoing]]:
        """Return the utterances among the records, and dead letters for the others."""
        requests, outgoing = [], []
        limit = self._settings.max_text_characters
        open_text = opening(self._keys)
        for record in records:
            source = source_of(record)
            try:
                received = decode_utterance(
                    record.value(), headers_of(record), source, max_text_characters=limit, open_text=open_text
                )
                _check_key(record.key())
                requests.append(Request(record, source, received))
            except InvalidEventError as fault:
                outgoing.append(self._bury(record, fault))
        return requests, outgoing

    def _encode(
        self, requests: Sequence[Request], decisions: Sequence[Decision], begun: float
    ) -> tuple[list[Result], list[Outgoing]]:
        """Return the results and their records, and those of the review requests."""
        time_text = timestamp(time.time())
        results, outgoing, asked = [], [], []
        for (record, source, received), decision in zip(requests, decisions, strict=True):
            queued = max(0.0, begun + decision.waited_seconds - record.timestamp()[1] / 1000)
            timings = timings_of(decision, queue_seconds=queued)
            result = result_of(received, decision, timings, source)
            results.append(result)
            outgoing.append(encode_result(result, received, record.key(), source.partition, time_text))
            said_at = record.timestamp()[1] / 1000
            review = self._reviews.ask(result, received, said_at, below=decision.review_below)
            if review is not None:
                asked.append((review, received))
        return results, outgoing + self._reviews.encode(asked, time_text)

    def _bury(self, record: Message, fault: InvalidEventError) -> Outgoing:
        self._observer.dead_lettered(fault.code)
        return bury(record, fault, failed_by=f"{__name__}.{type(self).__name__}", worker_id=self._worker_id)


def _by_tier(requests: Sequence[Request], results: Sequence[Result]) -> list[tuple[str, list[int]]]:
    """Return the timestamps, in milliseconds, of the records that each tier answered."""
    timestamps: defaultdict[str, list[int]] = defaultdict(list)
    for request, result in zip(requests, results, strict=True):
        timestamps[result.tier].append(request.record.timestamp()[1])
    return list(timestamps.items())


def _waited(record: Message, now: float) -> float:
    """Return the seconds since a record's timestamp, by Unix time."""
    return max(0.0, now - record.timestamp()[1] / 1000)


def _check_key(key: bytes | None) -> None:
    """Refuse a key that a result cannot repeat."""
    if key is not None and len(key) > MAX_KEY_BYTES:
        raise InvalidEventError(
            "key_too_long", f"The record's key has {len(key)} bytes; at most {MAX_KEY_BYTES} are accepted."
        )
