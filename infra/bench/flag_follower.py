"""One process that follows the flags and prints when it applied each revision: `python -m infra.bench.flag_follower`.

Arguments: the changelog's topic, and the revision after which it ends. A line each: the revision and the monotonic
clock, which all processes of a machine share.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Consumer

from flags.clients import follower_config
from flags.follower import Follower
from infra.cli.session import begin
from streams.clients import admin_client, client_config

if TYPE_CHECKING:
    from flags.evaluation import Snapshot
    from flags.follower import RefusedRecord


class _Times:
    """Prints what is applied."""

    def __init__(self, last: int) -> None:
        self._last = last
        self.done = threading.Event()

    def applied(self, snapshot: Snapshot) -> None:
        """Print a revision and the time."""
        sys.stdout.write(f"{snapshot.revision} {time.monotonic()}\n")
        sys.stdout.flush()
        if snapshot.revision >= self._last:
            self.done.set()

    def refused(self, record: RefusedRecord) -> None:
        """End: the benchmark writes no such record."""
        raise SystemExit(record.refusal.code)

    def broker_error(self, code: str) -> None:
        """Tell whoever started the benchmark."""
        sys.stderr.write(f"{code}\n")

    def unexpected(self, guard: str) -> None:
        """Tell whoever started the benchmark."""
        sys.stderr.write(f"{guard}\n")


def main() -> None:
    """Follow until the last revision was applied."""
    topic, last = sys.argv[1:]
    settings, times = begin(), _Times(int(last))
    with tempfile.TemporaryDirectory() as folder:
        follower = Follower(
            new_consumer=lambda: Consumer(follower_config(client_config(settings))),
            admin=admin_client(settings),
            topic=topic,
            overrides={},
            last_known=Path(folder) / "flags.json",
            observer=times,
        )
        follower.start()
        times.done.wait()
        follower.stop()


if __name__ == "__main__":
    main()
