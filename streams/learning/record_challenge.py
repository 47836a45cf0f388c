"""Writes to the corrections' audit what came of a head that was to take the place of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from schemas.cloudevents import event_headers
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, Challenge
from streams.topics import CORRECTIONS_AUDIT

if TYPE_CHECKING:
    from confluent_kafka import Producer

_EVENT_TYPE = CE_TYPES[Challenge]
_SECONDS = 30.0


def record_challenge(producer: Producer, challenge: Challenge) -> None:
    """Write one record; blocks until the broker has it.

    Args:
        producer: As `streams.clients.producer_config` configures it; used for this alone.
        challenge: What came of it.

    Raises:
        UnavailableError: The broker is away; it may have been written.
    """
    headers = event_headers(_EVENT_TYPE, f"{challenge.lessons}/{challenge.judged_at}", challenge.judged_at, None)
    producer.produce(
        CORRECTIONS_AUDIT,
        msgspec.json.encode(challenge),
        challenge.catalogue.encode(),
        0,
        headers=headers,  # type: ignore[arg-type]  # a list of pairs, as it wants
    )
    if producer.flush(_SECONDS):
        raise UnavailableError("The broker does not take what came of a head.")
