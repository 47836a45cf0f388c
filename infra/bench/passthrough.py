"""Our intake with an agent that only passes records on, as a process of its own: what the intake itself costs.

Run by `infra.bench.intake`: it takes SOURCE, SINK, GROUP and COUNT, and prints one JSON object when COUNT records are
committed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer

from schemas.settings_loading import load_settings
from streams.batches import Outgoing
from streams.boot import StreamApp, serve
from streams.clients import intake_consumer_config, transactional_producer_config
from streams.exchange import Exchange
from streams.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import TopicPartition
    from faust.types import StreamT

    from health.lag import PartitionLag
    from streams.batches import Batch


class Stopwatch:
    """Starts at the first batch, stops at the commit of the last record."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.first = self.last = 0.0

    def fetched(self, records: int) -> None:
        """Need nothing."""

    def committed(self, batch: Batch, seconds: float) -> None:  # noqa: ARG002 - the exchange tells both
        """Stop the process once all are committed."""
        self.left -= len(batch.records)
        if self.left <= 0:
            self.last = time.time()
            os.kill(os.getpid(), signal.SIGINT)

    def aborted(self, reason: str) -> None:
        """Say so: a measurement with an abort in it is none."""
        print(f"aborted: {reason}", file=sys.stderr)

    def voided(self, records: int) -> None:
        """Say so, likewise."""
        print(f"voided: {records}", file=sys.stderr)

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Need nothing."""

    def broker_error(self, code: str) -> None:
        """Need nothing."""

    def unexpected(self, guard: str) -> None:
        """Say so, likewise."""
        print(f"unexpected: {guard}", file=sys.stderr)

    def lagging(self, lag: dict[tuple[str, int], PartitionLag]) -> None:
        """Need nothing."""


async def main(source: str, sink: str, group: str, count: int) -> None:
    """Pass `count` records from one topic to the other and print how long that took."""
    settings = load_settings()
    settings = settings.model_copy(
        update={"worker": settings.worker.model_copy(update={"group_id": group, "id": group})}
    )
    stopwatch = Stopwatch(count)
    app = StreamApp("passthrough", folder=Path(tempfile.gettempdir()))
    channel = app.new_channel(1)
    exchange = Exchange(
        new_consumer=lambda: Consumer(intake_consumer_config(settings)),
        new_producer=lambda: Producer(transactional_producer_config(settings)),
        topics=[source],
        drain_seconds=settings.intake.drain_seconds,
        session_seconds=settings.intake.session_timeout_seconds,
        observer=stopwatch,
    )
    intake = Intake(
        exchange=exchange, channel=channel, settings=settings.intake, prepare=lambda: None, observer=stopwatch
    )
    app.after_agents.append(intake)

    async def pass_on(batch: Batch) -> list[Outgoing]:
        stopwatch.first = stopwatch.first or batch.fetched_at
        return [
            Outgoing(sink, record.value(), record.key(), record.partition() or 0, record.headers())  # type: ignore[arg-type]  # a list
            for record in batch.records
        ]

    @app.agent(channel)
    async def passthrough(batches: StreamT[Batch]) -> None:
        async for batch in batches:
            await intake.answer(batch, pass_on)

    await serve(app)
    print(json.dumps({"seconds": stopwatch.last - stopwatch.first}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
