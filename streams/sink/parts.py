"""A worker's part in the sink: its candidacy for filling it, as a service, and the routes that ask it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer
from mode import Service

from schemas.access import Access
from streams.clients import election_consumer_config, sink_consumer_config
from streams.fleet.duty import DutyThread
from streams.fleet.election import Election
from streams.sink.duty import SinkDuty
from streams.sink.memory import ResultMemory
from streams.sink.routes import ResultRoutes
from streams.topics import CORRECTIONS_AUDIT

if TYPE_CHECKING:
    from schemas.settings import Settings
    from streams.observer import StreamObserver
    from streams.privacy.person_keys import PersonKeys


class SinkParts(Service):
    """The candidacy for writing results and feedback to Postgres, on a thread of its own.

    Args:
        settings: Of everything.
        observer: Counts and shows.
        keys: Open what is sealed.

    Attributes:
        routes: Tell what is kept, also where this worker never writes.
    """

    def __init__(
        self, settings: Settings, observer: StreamObserver, keys: PersonKeys | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._enabled = settings.sink.enabled
        self._thread = DutyThread(
            "sink",
            SinkDuty(
                settings.sink,
                settings.postgres_dsn,
                new_consumer=lambda: Consumer(sink_consumer_config(settings)),
                observer=observer,
                keys=keys,
            ),
            new_election=lambda: Election(
                lambda: Consumer(election_consumer_config(settings, "sink")), CORRECTIONS_AUDIT, "sink"
            ),
            wait_for_flags=lambda _seconds: True,  # no flag decides here
            observer=observer,
        )

        self.routes = ResultRoutes(access=Access(settings.access.tokens), memory=ResultMemory(settings))

    async def on_start(self) -> None:
        """Become a candidate."""
        if self._enabled:
            self._thread.start()

    async def on_stop(self) -> None:
        """Let another take over at once."""
        await asyncio.to_thread(self._thread.stop)
