"""Asks the guard to take back what a person's feedback taught, and waits for what became of it."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from confluent_kafka import KafkaException, Producer

from schemas.cloudevents import event_headers
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, ForgetRequest, Source, Withdrawal
from streams.burial import source_of
from streams.clients import producer_config
from streams.reader import TopicReader
from streams.results import timestamp
from streams.topics import CORRECTIONS_AUDIT, FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from confluent_kafka import KafkaError, Message

    from schemas.settings import Settings

_DELIVERY_SECONDS = 10.0
_READ_SECONDS = 0.1
_TYPE = CE_TYPES[ForgetRequest]

_withdrawals = msgspec.json.Decoder(Withdrawal)


class Forgetting(NamedTuple):
    """How far a request has come.

    Attributes:
        source: Where it stands.
        changed: What became of each lesson that changed.
        done: What the guard says of the whole; None: it has not got to it yet.
    """

    source: Source
    changed: tuple[Withdrawal, ...]
    done: Withdrawal | None


def ask_to_forget(settings: Settings, request: ForgetRequest, *, wait_seconds: float) -> Forgetting:
    """Put a request on the feedback topic, and wait for the guard to have done it.

    Raises:
        UnavailableError: The broker did not take it.
        MissingTopicError: A topic is not there yet.
    """
    with TopicReader(settings, [CORRECTIONS_AUDIT], start="end") as audit:
        source = _write(settings, request)
        changed: list[Withdrawal] = []
        for withdrawal in _withdrawn(audit, wait_seconds):
            if withdrawal.source != source:
                continue
            if withdrawal.lesson is None:
                return Forgetting(source, tuple(changed), withdrawal)
            changed.append(withdrawal)
        return Forgetting(source, tuple(changed), None)


def _write(settings: Settings, request: ForgetRequest) -> Source:
    fate: list[tuple[KafkaError | None, Message]] = []
    producer = Producer(producer_config(settings) | {"message.timeout.ms": int(_DELIVERY_SECONDS * 1000)})
    headers: Sequence[tuple[str, bytes]] = event_headers(_TYPE, str(uuid.uuid4()), timestamp(time.time()), None)
    try:
        producer.produce(
            FEEDBACK,
            msgspec.json.encode(request),
            request.person_id.encode(),
            headers=[*headers],
            on_delivery=lambda error, record: fate.append((error, record)),
        )
    except KafkaException as error:
        raise UnavailableError(f"The request cannot be written: {error.args[0].str()}.") from error
    producer.flush(2 * _DELIVERY_SECONDS)
    if not fate:
        raise UnavailableError("The broker does not say whether it took the request.")
    [(refused, record)] = fate
    if refused is not None:
        raise UnavailableError(f"The broker did not take the request: {refused.str()}.")
    return source_of(record)


def _withdrawn(audit: TopicReader, seconds: float) -> Iterator[Withdrawal]:
    """Yield withdrawals as they come, for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for record in audit.read(_READ_SECONDS):
            try:
                yield _withdrawals.decode(record.value() or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # the guard's verdicts stand there, too
