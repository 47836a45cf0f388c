"""Where spans are made, if anywhere: OpenTelemetry is imported only where a setting names a collector."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mode import Service

from models.threads import DaemonThread
from schemas.errors import InvalidSettingsError

if TYPE_CHECKING:
    from schemas.settings import Settings
    from streams.spans import Tracing

_LAST_SECONDS = 3.0
"""For the last spans to be sent, of the ten seconds in which a worker ends."""


def new_tracing(settings: Settings) -> Tracing | None:
    """Return what makes spans; None where the settings name no collector.

    Raises:
        InvalidSettingsError: They do, and the extra `tracing` is not installed.
    """
    if settings.tracing.endpoint is None:
        return None
    try:
        from streams.spans import Tracing  # noqa: PLC0415 - who traces nothing imports nothing of it
    except ImportError as error:
        raise InvalidSettingsError(
            "INTENTSTREAM_TRACING__ENDPOINT is set, and the extra `tracing` is not installed: pip install "
            "'intentstream[tracing]'."
        ) from error
    return Tracing(settings.tracing, worker_id=settings.worker.id)


class LastSpans(Service):
    """Sends what spans are left when the worker stops, and waits no longer for it than it may."""

    def __init__(self, tracing: Tracing, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tracing = tracing

    async def on_stop(self) -> None:
        """Send them."""
        thread = DaemonThread("last-spans")
        sending = asyncio.wrap_future(thread.submit(self._tracing.shut_down))
        await asyncio.wait({sending}, timeout=_LAST_SECONDS)
        thread.shutdown()
