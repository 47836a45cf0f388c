"""One process that follows the flags and logs what it applies: `python -m infra.bench.flag_follower FILE`.

The file is where it keeps the last state it knew.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from confluent_kafka import Consumer

from flags.clients import follower_config
from flags.follower import Follower
from health.logs import configure_logging
from schemas.settings_loading import load_settings
from streams.clients import admin_client, client_config
from streams.topics import FLAGS

if TYPE_CHECKING:
    from flags.evaluation import Snapshot
    from flags.refusals import RefusedRecord

_log = structlog.get_logger(__name__)


class _Log:
    """Says what happens, as a worker does."""

    def applied(self, snapshot: Snapshot) -> None:
        """Log a revision."""
        _log.info("flags_applied", revision=snapshot.revision)

    def refused(self, record: RefusedRecord) -> None:
        """Log what does not count."""
        _log.warning("flag_record_refused", code=record.refusal.code)

    def broker_error(self, code: str) -> None:
        """Log it."""
        _log.warning("flags_broker_error", code=code)

    def unexpected(self, guard: str) -> None:
        """Log it."""
        _log.error("flags_unexpected", guard=guard)


def main() -> None:
    """Follow until we are ended."""
    settings = load_settings()
    configure_logging(level="INFO", style="json", worker_id="follower")
    follower = Follower(
        new_consumer=lambda: Consumer(follower_config(client_config(settings))),
        admin=admin_client(settings),
        topic=FLAGS,
        overrides={},
        last_known=Path(sys.argv[1]),
        observer=_Log(),
    )
    follower.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
