"""Publishes records that stand alone, outside the intake's transactions: what came over HTTP."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from mode import Service

from schemas.errors import UnavailableError
from streams.clients import producer_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from confluent_kafka import Message

    from schemas.settings import Settings
    from streams.batches import Outgoing

_log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.1
_TIMEOUT_MS = 2_000
"""For a record to be delivered: a person may be waiting."""
_ANSWER_SECONDS = 5.0
"""Until nobody knows: a fatal error can cut off the callbacks that would tell, and two timeouts have passed then."""
_FATALITIES = (KafkaException, SystemError)
"""What polling raises over a fatal error; the latter where a callback was under way, with the former as its cause."""


class Publisher(Service):
    """An idempotent producer whose deliveries can be awaited.

    One that met a fatal error takes nothing more as long as it lives; another takes its place, for the next call.
    """

    def __init__(self, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._producer: Producer | None = None
        self._ending = threading.Event()
        self._poller: threading.Thread | None = None
        self._drains: set[asyncio.Task[None]] = set()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Return when all records are delivered.

        Raises:
            UnavailableError: One of them was not, or nobody knows; it may yet arrive.
        """
        producer = self._producer
        if producer is None:
            raise UnavailableError("The worker is starting or stopping.")
        loop = asyncio.get_running_loop()
        deliveries = []
        for topic, value, key, partition, headers in records:
            delivery: asyncio.Future[None] = loop.create_future()
            try:
                producer.produce(
                    topic,
                    value,
                    key,
                    partition,
                    on_delivery=_teller(loop, delivery, lambda error: self._renew_if_fatal(producer, error)),
                    headers=headers,  # type: ignore[arg-type]  # a list always, of bytes
                )
            except BufferError as error:
                raise UnavailableError("Too much waits to be published already.") from error
            except KafkaException as error:
                self._renew_if_fatal(producer, error.args[0])
                raise UnavailableError(f"The producer cannot send it: {error.args[0].str()}.") from error
            deliveries.append(delivery)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await asyncio.gather(*deliveries)
        except TimeoutError as error:
            raise UnavailableError("Nobody knows whether the broker took it.") from error

    async def on_start(self) -> None:
        """Make the producer; it connects by itself, whenever the broker is there."""
        self._producer = self._new_producer()
        loop = asyncio.get_running_loop()
        self._poller = threading.Thread(target=self._poll, args=[loop], name="publisher", daemon=True)
        self._poller.start()

    async def on_stop(self) -> None:
        """Let what is under way be delivered."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(_flush, producer)
        await asyncio.gather(*self._drains)
        self._ending.set()
        if self._poller is not None:  # a service that was never started is stopped, too
            await asyncio.to_thread(self._poller.join)

    def _new_producer(self) -> Producer:
        return Producer(producer_config(self._settings) | {"message.timeout.ms": _TIMEOUT_MS})

    def _renew_if_fatal(self, producer: Producer, error: KafkaError) -> None:
        """Replace a producer that will take nothing more; called on the loop, once for each record that says so."""
        fatal = error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - that is its public name
        if fatal:
            self._renew(producer, error.str())

    def _renew(self, producer: Producer, reason: str) -> None:
        if producer is not self._producer:
            return
        _log.warning("publisher_renewed", reason=reason)
        self._producer = self._new_producer()
        drain = asyncio.create_task(asyncio.to_thread(_drain, producer))
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._ending.is_set():
            producer = self._producer
            if producer is None:
                self._ending.wait(_POLL_SECONDS)
            else:
                try:
                    producer.poll(_POLL_SECONDS)
                except _FATALITIES as error:
                    loop.call_soon_threadsafe(self._renew, producer, str(error.__cause__ or error))


def _drain(producer: Producer) -> None:
    """Give up what a producer still has, so that who waits for it is told."""
    producer.purge()
    _flush(producer)


def _flush(producer: Producer) -> None:
    """Wait for what is under way, as long as a delivery may take."""
    try:
        producer.flush(_TIMEOUT_MS / 1000)
    except _FATALITIES as error:
        _log.warning("publisher_flush_cut_off", reason=str(error.__cause__ or error))


def _teller(
    loop: asyncio.AbstractEventLoop, delivery: asyncio.Future[None], on_failure: Callable[[KafkaError], None]
) -> Any:
    """Return a delivery callback for the poller's thread that settles the future on its loop."""

    def settle(error: KafkaError | None) -> None:
        if error is not None:
            on_failure(error)
        if delivery.done():
            return
        if error is None:
            delivery.set_result(None)
        else:
            delivery.set_exception(UnavailableError(f"The broker did not take it: {error.str()}."))

    def tell(error: KafkaError | None, _record: Message) -> None:
        loop.call_soon_threadsafe(settle, error)

    return tell
