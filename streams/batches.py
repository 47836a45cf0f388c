"""What travels between the intake and an agent: records in, and what is to be written for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from confluent_kafka import Message

    from streams.spans import BatchSpans


class Outgoing(NamedTuple):
    """One record to be written in the transaction that commits its batch."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int
    headers: Sequence[tuple[str, bytes | None]] | None = None


ANY_PARTITION = -1
"""Let the key decide the partition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Records fetched together, answered together, committed together.

    Attributes:
        epoch: The exchange's epoch they were fetched in; in a later one the batch is void.
        number: How many batches of its epoch were fetched before it; they are committed in this order, without a gap.
        records: In fetch order, so in offset order within a partition. Raw bytes, undecoded.
        fetched_at: Unix time in seconds.
        last: The last record of each partition among them, by topic and partition.
        count: How many fetches it holds.
        answered: Who answered which of its records, for who measures: a tier's name, and the records' timestamps in
            milliseconds. The agent fills it.
        spans: Of those of its records that are traced; the agent begins them, and the transaction ends them.
    """

    epoch: int
    number: int
    records: Sequence[Message]
    fetched_at: float
    last: Mapping[tuple[str, int], Message] = field(default_factory=dict)
    count: int = 1
    answered: list[tuple[str, list[int]]] = field(default_factory=list)
    spans: list[BatchSpans] = field(default_factory=list)


def last_records(records: Sequence[Message]) -> dict[tuple[str, int], Message]:
    """Return the last record of each partition, by topic and partition."""
    last = {(record.topic(), record.partition()): record for record in records}
    return {
        (topic, partition): record
        for (topic, partition), record in last.items()
        if topic is not None and partition is not None and record.offset() is not None
    }


def next_offsets(last: Mapping[tuple[str, int], Message]) -> list[TopicPartition]:
    """Return, for each partition, the offset after its last record."""
    return [TopicPartition(*place, (record.offset() or 0) + 1) for place, record in last.items()]


def join(batches: Sequence[Batch]) -> Batch:
    """Return one batch of several of an epoch, fetched one after another without a gap, so that one commit does."""
    if len(batches) == 1:
        return batches[0]
    return Batch(
        epoch=batches[0].epoch,
        number=batches[0].number,
        records=[record for batch in batches for record in batch.records],
        fetched_at=batches[0].fetched_at,
        last={place: record for batch in batches for place, record in batch.last.items()},
        count=sum(batch.count for batch in batches),
        answered=[answered for batch in batches for answered in batch.answered],
        spans=[spans for batch in batches for spans in batch.spans],
    )
