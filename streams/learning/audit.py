"""Tells the audit what became of what was taught: of what was to take another's place, and of what was tried."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import msgspec

from schemas.cloudevents import event_headers
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, Challenge, TrialVerdict
from streams.results import timestamp
from streams.topics import CORRECTIONS_AUDIT

if TYPE_CHECKING:
    from confluent_kafka import Producer

    from models.training.contest import Contest

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
        raise UnavailableError("The broker does not take what came of what was taught.")


def challenge_of(
    contest: Contest,
    *,
    model: Literal["zero_shot", "distilbert"],
    catalogue: str,
    lessons: int,
    corrections: int,
    traffic: int,
    worker_id: str,
) -> Challenge:
    """Return what the audit is to say of a contest.

    Args:
        contest: What came of it.
        model: What was taught.
        catalogue: Digest of the catalogue that it learnt.
        lessons: The revision of the corrections' log that it has learnt.
        corrections: How many corrections.
        traffic: How many utterances without a label.
        worker_id: Who judged.
    """
    return Challenge(
        model=model,
        code=contest.code,
        reason=contest.reason,
        catalogue=catalogue,
        lessons=lessons,
        corrections=corrections,
        traffic=traffic,
        texts=contest.texts,
        champion=contest.champion,
        challenger=contest.challenger,
        p_value=contest.p_value,
        judged_by=worker_id,
        judged_at=timestamp(time.time()),
    )
