"""Sends what shadows found to the audit, from whichever loop; what the broker does not take is lost, and counted."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Protocol

import msgspec

from schemas.cloudevents import event_headers
from schemas.errors import UnavailableError
from schemas.events import CE_TYPES, ShadowReport
from streams.batches import Outgoing
from streams.topics import CORRECTIONS_AUDIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_EVENT_TYPE = CE_TYPES[ShadowReport]


class ReportsObserver(Protocol):
    """Who counts. Called on the loop that publishes; must not block."""

    def broker_error(self, code: str) -> None:
        """Count an error that librdkafka reports and mends by itself, or that trying again mends."""


class Reports:
    """The way to the audit.

    Args:
        publish: Returns when records are delivered, or raises `UnavailableError`.
        observer: Who counts.
    """

    def __init__(self, publish: Callable[[Sequence[Outgoing]], Awaitable[None]], observer: ReportsObserver) -> None:
        self._publish = publish
        self._observer = observer
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Publish on this loop from now on."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Let go of what comes."""
        self._loop = None

    def send(self, report: ShadowReport) -> None:
        """Publish a report, soon. Any thread may call it."""
        loop = self._loop
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._deliver(report), loop)

    async def _deliver(self, report: ShadowReport) -> None:
        headers = event_headers(_EVENT_TYPE, str(uuid.uuid4()), report.reported_at, None)
        key = f"{report.model}/{report.release}".encode()
        try:
            await self._publish([Outgoing(CORRECTIONS_AUDIT, msgspec.json.encode(report), key, 0, headers)])
        except UnavailableError:
            self._observer.broker_error("shadow_report_lost")
