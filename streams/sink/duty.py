"""Keeps the tables up with the log, in one worker of the fleet; where they cannot be written, the log waits.

Whatever goes wrong with Postgres, what was read and not written is forgotten and read again from where the tables end.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

import structlog

from streams.sink.database import Database, DatabaseAwayError
from streams.sink.log import LogObserver, ProjectedLog
from streams.sink.writer import BatchWriter, WriterObserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Consumer

    from schemas.settings import Sink
    from streams.fleet.duty import Term
    from streams.privacy.person_keys import PersonKeys

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0
_PARTITIONS_SECONDS = 30.0
"""How often it is asked whether the topics have grown."""


class SinkObserver(LogObserver, WriterObserver, Protocol):
    """Who counts and shows. Called on the sink's thread; must not block."""

    def sink_state(self, fault: str | None, lag_seconds: float) -> None:
        """Show how the sink is; a fault is why nothing can be written, for a person."""

    def sink_rests(self) -> None:
        """Show that it is not this worker that writes."""


class SinkDuty:
    """What the elected worker does.

    Args:
        settings: How much at once, how long, for how many days.
        dsn: Where Postgres is.
        new_consumer: Makes a consumer as `streams.clients.sink_consumer_config` configures it.
        observer: Who counts.
        keys: Open what is sealed.
    """

    def __init__(
        self,
        settings: Sink,
        dsn: str,
        *,
        new_consumer: Callable[[], Consumer],
        observer: SinkObserver,
        keys: PersonKeys | None = None,
    ) -> None:
        self._keys = keys
        self._settings = settings
        self._dsn = dsn
        self._new_consumer = new_consumer
        self._observer = observer

    def is_due(self) -> bool:
        """Return that there always is something to write, or may be."""
        return True

    def work(self, term: Term) -> None:
        """Write while the term lasts; where writing fails, wait, and go on from where the tables end.

        Raises:
            KafkaException: The broker does not answer.
        """
        with asyncio.Runner() as runner, closing(self._new_consumer()) as consumer:
            log = ProjectedLog(consumer, keep_text=self._settings.keep_text, observer=self._observer, keys=self._keys)
            away = _Away(self._observer, log)
            while term.lasts():
                try:
                    runner.run(self._project(term, log, away))
                except DatabaseAwayError as fault:
                    if term.ending.is_set():
                        return
                    log.let_go()
                    away.note(str(fault))
                    term.ending.wait(_RETRY_SECONDS)

    def rest(self) -> None:
        """Show that it is not this worker that writes."""
        self._observer.sink_rests()

    async def _project(self, term: Term, log: ProjectedLog, away: _Away) -> None:
        """Write until the term ends or the topics grow."""
        database = Database(self._dsn, deadline_seconds=self._settings.deadline_seconds, given_up=term.ending.is_set)
        async with database:
            writer = BatchWriter(
                database,
                cluster=log.cluster(),
                retention_days=self._settings.retention_days,
                observer=self._observer,
            )
            partitions = log.partitions()
            foreign = log.stand_at(partitions, await writer.open())
            if foreign:
                _log.warning("sink_positions_foreign", partitions=len(foreign))
                await writer.forget(list(foreign))
            asked_at = time.monotonic()
            while term.lasts():
                batch = log.read(self._settings.batch_records, self._settings.flush_seconds)
                await writer.write(batch)
                log.written(batch.positions)
                away.over()
                if time.monotonic() - asked_at > _PARTITIONS_SECONDS:
                    asked_at = time.monotonic()
                    if log.partitions() != partitions:
                        return


class _Away:
    """Since when nothing can be written, and why."""

    def __init__(self, observer: SinkObserver, log: ProjectedLog) -> None:
        self._observer = observer
        self._log = log
        self._since: float | None = None

    def note(self, fault: str) -> None:
        """Take note of a failure."""
        if self._since is None:
            self._since = time.monotonic()
            _log.warning("sink_read_only", reason=fault)
        seconds = time.monotonic() - self._since
        self._observer.sink_state(fault, max(seconds, self._log.lag_seconds()))

    def over(self) -> None:
        """Take note that what was read is written."""
        if self._since is not None:
            _log.info("sink_writes_again", after_seconds=round(time.monotonic() - self._since, 3))
        self._since = None
        self._observer.sink_state(None, self._log.lag_seconds())
