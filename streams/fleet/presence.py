"""Says that this worker is there and how far it has come: every few seconds, and at once when its flags change.

On a thread and a producer of its own, so that it neither waits for the stream's transactions nor holds anything up. One
presence is on its way at a time; what changes meanwhile is in the next, so a burst of changes is two records, not one
each, and the last always arrives.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog
from confluent_kafka import KafkaException

from health.logs import describe_fault
from schemas.cloudevents import event_headers
from schemas.events import CE_TYPES, Presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import KafkaError, Producer

_log = structlog.get_logger(__name__)

_EVENT_TYPE = CE_TYPES[Presence]
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 0.2
_FAREWELL_SECONDS = 1.0

DELIVERY_MS = 2_000
"""What could not be delivered by then is old news; the next presence says more."""


class PresenceObserver(Protocol):
    """Who counts. Called on the presence's thread; must not block."""

    def broker_error(self, code: str) -> None:
        """Count an error that trying again mends."""

    def unexpected(self, guard: str) -> None:
        """Count an error that only a guard which catches all has caught."""


class PresencePublisher:
    """Publishes one worker's presence until it is stopped.

    Args:
        new_producer: Makes an idempotent producer that sends at once and gives up after `DELIVERY_MS`.
        topic: Of one partition, compacted.
        worker_id: Its key.
        describe: Returns the presence as it is now; quick.
        acknowledged: Told, on the presence's thread, when a presence that stands on the log now was sent.
        observer: Who counts.
        clock: For what `acknowledged` and `beat` tell.
        every_seconds: From one presence to the next, if nothing happens.
    """

    def __init__(
        self,
        *,
        new_producer: Callable[[], Producer],
        topic: str,
        worker_id: str,
        describe: Callable[[], Presence],
        acknowledged: Callable[[float], None],
        observer: PresenceObserver,
        clock: Callable[[], float],
        every_seconds: float,
    ) -> None:
        self._new_producer = new_producer
        self._topic = topic
        self._key = worker_id.encode()
        self._describe = describe
        self._acknowledged = acknowledged
        self._observer = observer
        self._clock = clock
        self._every_seconds = every_seconds
        self._producer: Producer | None = None
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._awaited: list[Future[float]] = []
        self._thread: threading.Thread | None = None
        self._delivered: bool | None = None

    def start(self) -> None:
        """Begin, once the topic is there; begun already, do nothing."""
        if self._thread is None:
            self._due.set()
            self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
            self._thread.start()

    def announce(self) -> None:
        """Publish at once, for something has changed. From any thread; never blocks."""
        self._due.set()

    def beat(self) -> Future[float]:
        """Publish at once; the answer is when it was sent, on `clock`, once the broker has it. It may take for ever."""
        beat: Future[float] = Future()
        with self._lock:
            self._awaited.append(beat)
        self._due.set()
        return beat

    def stop(self, seconds: float = 3.0) -> None:
        """Delete our presence and end, started or not; with the broker away, others find out by themselves."""
        self._stopping.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._due.wait(self._every_seconds)
            self._due.clear()
            try:
                if not self._stopping.is_set():
                    self._publish()
            except Exception as error:  # noqa: BLE001 - the thread's guard: without it a bug would be a worker given up
                self._observer.unexpected("presence")
                _log.error("presence_failed", **describe_fault(error))
        if self._delivered:
            self._send(None, [], _FAREWELL_SECONDS)

    def _publish(self) -> None:
        """Publish what is so now; if that fails, it is due again at once."""
        with self._lock:
            awaited = [beat for beat in self._awaited if not beat.cancelled()]
            self._awaited = []
        sent_at, presence = self._clock(), self._describe()
        headers = event_headers(_EVENT_TYPE, f"{presence.worker_id}/{presence.seen_at}", presence.seen_at, None)
        if self._send(msgspec.json.encode(presence), headers, 2 * DELIVERY_MS / 1000):
            self._acknowledged(sent_at)
            for beat in awaited:
                if beat.set_running_or_notify_cancel():
                    beat.set_result(sent_at)
            return
        with self._lock:
            self._awaited += awaited
        self._due.set()
        self._stopping.wait(_RETRY_SECONDS)

    def _send(self, value: bytes | None, headers: list[tuple[str, bytes]], seconds: float) -> bool:
        """Send a record and wait for the broker's word; return whether it has it."""
        told: list[KafkaError | None] = []
        deadline = self._clock() + seconds
        try:
            if self._producer is None:
                self._producer = self._new_producer()
            self._producer.produce(
                self._topic,
                value,
                self._key,
                0,
                headers=headers,  # type: ignore[arg-type]  # a list of pairs, as it wants
                on_delivery=lambda error, _record: told.append(error),
            )
            while not told and self._clock() < deadline and (value is None or not self._stopping.is_set()):
                self._producer.poll(_POLL_SECONDS)
        except (KafkaException, BufferError, SystemError) as error:  # the last: polling met a fatal error
            self._producer = None
            return self._failed("producer", str(error.__cause__ or error))
        if not told:
            return self._failed("silence", "Nobody knows whether the broker took it.")
        if told[0] is not None:
            return self._failed(told[0].name(), told[0].str())
        self._delivered = True
        return True

    def _failed(self, code: str, reason: str) -> bool:
        self._observer.broker_error(code)
        if self._delivered is not False:
            _log.warning("presence_not_published", code=code, reason=reason)
        self._delivered = False
        return False
