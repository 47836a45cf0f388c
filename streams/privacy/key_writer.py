"""Gives people keys and destroys them: writers take turns, so that two who need one at once end with the same."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from flags.log_reader import LogReader
from flags.turns import Turns
from schemas.cloudevents import event_headers
from schemas.events import CE_TYPES, PersonKey
from streams.privacy.sealing import KeyId, new_key
from streams.results import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from confluent_kafka import Consumer, KafkaError, Message, Producer

    from streams.privacy.key_log import KeyFollower
    from streams.privacy.sealing import MasterKey

_EVENT_TYPE = CE_TYPES[PersonKey]

SWEEP_NAME = bytes(16)
"""Nobody's name: what stands under it means nothing, and was written to close a segment."""


class Destroyed(NamedTuple):
    """What came of destroying a key.

    Attributes:
        had_key: Whether there was one; if not, nothing was written.
        generation: Of the last key that the person had; 0: none ever.
        offset: The log's, from which on nobody has it.
    """

    had_key: bool
    generation: int
    offset: int


class KeyWriter:
    """Writes to the keys' log. Any thread may call it; calls wait for each other.

    Args:
        new_producer: Makes a producer as `flags.clients.writer_config` configures it, for this log.
        new_consumer: Makes a consumer as `flags.clients.reader_config` configures it.
        topic: The log's.
        follower: Of the same log; running.
        master: Wraps keys.
        by: Who writes.
    """

    def __init__(
        self,
        *,
        new_producer: Callable[[], Producer],
        new_consumer: Callable[[], Consumer],
        topic: str,
        follower: KeyFollower,
        master: MasterKey,
        by: str,
    ) -> None:
        self._turns = Turns(new_producer)
        self._new_consumer = new_consumer
        self._topic = topic
        self._follower = follower
        self._master = master
        self._by = by
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._written = 0

    def provide(self, names: Collection[bytes]) -> None:
        """See to it that everybody of these names has a key.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away.
        """

        def missing() -> dict[bytes, PersonKey]:
            known = {name: self._follower.ring.latest(name) for name in names}
            return {
                name: self._new_record(name, generation + 1)
                for name, (generation, is_live) in known.items()
                if not is_live
            }

        if missing():
            self._write(missing)

    def destroy(self, name: bytes, *, by: str, reason: str) -> Destroyed:
        """See to it that nobody has a person's key any more; whoever writes for them later begins another one.

        Raises:
            ConflictError: Others took the turn again and again.
            UnavailableError: The broker is away; it may have been destroyed all the same.
        """
        before = 0, False

        def marker() -> dict[bytes, PersonKey]:
            nonlocal before
            generation, is_live = self._follower.ring.latest(name)
            before = max(before, (generation, is_live))
            if not is_live:
                return {}
            now = timestamp(time.time())
            return {name: PersonKey(generation=generation, changed_at=now, changed_by=by, reason=reason)}

        offset = self._write(marker)
        return Destroyed(before[1], before[0], offset)

    def close(self) -> None:
        """Let go of the broker."""
        self._turns.close()
        with self._lock:
            self._turns.let_go()
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _new_record(self, name: bytes, generation: int) -> PersonKey:
        wrapped = self._master.wrap(KeyId(name, generation), new_key())
        return PersonKey(generation=generation, wrapped=wrapped, changed_at=timestamp(time.time()), changed_by=self._by)

    def _write(self, make: Callable[[], dict[bytes, PersonKey]]) -> int:
        """Write what is made of the log as it stands, in our turn; return the offset at which it is in force."""

        def attempt() -> int:
            end = self._end()
            # After our last record stands its transaction's mark, which the follower comes to know of a little later.
            self._follower.wait_until_applied(self._written if end == self._written + 1 else end)
            records = make()
            return self._commit(records) if records else self._follower.applied

        with self._lock:
            end = self._turns.run("people's keys", attempt)
            self._follower.wait_until_applied(end)  # else our next attempt would not know of this one
            return end

    def _end(self) -> int:
        if self._consumer is None:
            self._consumer = self._new_consumer()
        return LogReader(self._consumer, self._topic).bounds()[1]

    def _commit(self, records: dict[bytes, PersonKey]) -> int:
        ends: list[int] = []

        def delivered(error: KafkaError | None, record: Message) -> None:
            if error is None:
                ends.append((record.offset() or 0) + 1)

        producer = self._turns.begin()
        for name, record in records.items():
            write_key_record(producer, self._topic, name, record, delivered)
        self._turns.commit(producer)
        producer.poll(0)
        self._written = max(ends, default=0) or self._end()
        return self._written


def write_key_record(
    producer: Producer,
    topic: str,
    name: bytes,
    record: PersonKey,
    delivered: Callable[[KafkaError | None, Message], None],
) -> None:
    """Have a producer write a record."""
    headers = event_headers(_EVENT_TYPE, str(uuid.uuid4()), record.changed_at, None)
    producer.produce(
        topic,
        msgspec.json.encode(record),
        name.hex().encode(),
        0,
        headers=headers,  # type: ignore[arg-type]  # a list of pairs, as it wants
        on_delivery=delivered,
    )
