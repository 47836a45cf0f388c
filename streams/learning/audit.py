"""Tells the audit what became of a head: of one that was to take the place of another, and of one that was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from schemas.cloudevents import event_headers
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, Challenge, TrialVerdict
from streams.topics import CORRECTIONS_AUDIT

if TYPE_CHECKING:
    from confluent_kafka import Producer

_SECONDS = 30.0


def write_to_audit(producer: Producer, event: Challenge | TrialVerdict) -> None:
    """Write one record; blocks until the broker has it.

    Args:
        producer: As `streams.clients.producer_config` configures it; used for this alone.
        event: What became of it.

    Raises:
        UnavailableError: The broker is away; it may have been written.
    """
    if isinstance(event, Challenge):
        key, name = event.catalogue, f"{event.lessons}/{event.judged_at}"
    else:
        key, name = f"{event.model}/{event.release}", f"{event.release}/{event.stage}/{event.judged_at}"
    headers = event_headers(CE_TYPES[type(event)], name, event.judged_at, None)
    producer.produce(
        CORRECTIONS_AUDIT,
        msgspec.json.encode(event),
        key.encode(),
        0,
        headers=headers,  # type: ignore[arg-type]  # a list of pairs, as it wants
    )
    if producer.flush(_SECONDS):
        raise UnavailableError("The broker does not take what came of a head.")
