"""What every command that touches a server begins with: the settings, and a log that does not get in the way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from health.logs import configure_logging
from schemas.settings_loading import load_settings

if TYPE_CHECKING:
    from schemas.settings import Settings


def begin() -> Settings:
    """Return the settings, with logs on standard error: faults only, unless the level is DEBUG.

    A command says itself that a broker is away, in one sentence; librdkafka's own lines would bury it.

    Raises:
        InvalidSettingsError: The settings cannot be used.
    """
    settings = load_settings()
    wants_all = settings.logs.level == "DEBUG"
    configure_logging(level="DEBUG" if wants_all else "ERROR", style=settings.logs.format, worker_id=settings.worker.id)
    if not wants_all:
        logging.getLogger("intentstream.librdkafka").setLevel(logging.CRITICAL)
    return settings
