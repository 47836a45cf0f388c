"""A process that follows the flags and prints the revision and the digest of each state it shows.

`python -m tests.kit.flag_follower BROKER TOPIC FILE`
"""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Consumer

from flags.admin import admin_client
from flags.clients import follower_config
from flags.follower import Follower

if TYPE_CHECKING:
    from flags.evaluation import Snapshot
    from flags.refusals import RefusedRecord


class _Digests:
    def applied(self, snapshot: Snapshot) -> None:
        sys.stdout.write(f"{snapshot.revision} {snapshot.digest}\n")
        sys.stdout.flush()

    def refused(self, record: RefusedRecord) -> None:
        sys.stdout.write(f"refused {record.refusal.code}\n")
        sys.stdout.flush()

    def broker_error(self, code: str) -> None:
        """The broker restarts on purpose."""

    def unexpected(self, guard: str) -> None:
        sys.stdout.write(f"unexpected {guard}\n")
        sys.stdout.flush()


def main() -> None:
    """Follow until we are ended."""
    broker, topic, file = sys.argv[1:]
    quiet = logging.getLogger("librdkafka")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    client = {"bootstrap.servers": broker, "logger": quiet, "reconnect.backoff.max.ms": 500}
    admin = admin_client({"bootstrap.servers": broker, "logger": quiet})
    follower = Follower(
        new_consumer=lambda: Consumer(follower_config(client)),
        admin=admin,
        topic=topic,
        overrides={},
        last_known=Path(file),
        observer=_Digests(),
    )
    follower.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
